"""Login and every other declared system setting have the declared value.

Harbor refuses another `auth_mode` once there is any local user besides admin
(src/controller/config/controller.go): that is found out before the first call.
"""

import json
from typing import Any

from harbor.configuration import options
from harbor.configuration.calls import Call, Plan, shown
from harbor.configuration.settings import Auth, Ldap, Oidc
from harbor.configuration.state import ADMIN_ID, MODES, Context
from harbor.sections import FromEnvironment

Values = dict[str, Any]
LDAP_SCOPES = {"base": 0, "one": 1, "subtree": 2}


def plan(context: Context) -> Plan:
    wanted = {**_login(context.wanted.auth), **context.wanted.settings}
    plain = {k: v for k, v in wanted.items() if not isinstance(v, FromEnvironment)}
    secrets = {k: context.secret(v) for k, v in wanted.items() if isinstance(v, FromEnvironment)}
    body, reasons = _plain(context, plain)
    remember = {}
    for key, secret in secrets.items():
        name, family = f"settings/{key}", key.partition("_")[0]
        # Whoever set the rest of the family anew may have set the secret too.
        moved = any(other.startswith(f"{family}_") for other in body)
        why = context.must_send(name, secret) or ("goes with the rest" if moved else "")
        if why:
            body[key], remember[name] = secret, secret
            reasons.append(f"{key}: {why}")
    if not body:
        return Plan()
    call = Call(
        "system settings", "; ".join(reasons), "PUT", "/configurations", body, remember=remember
    )
    return Plan([call], _problems(context, body))


def _plain(context: Context, wanted: Values) -> tuple[Values, list[str]]:
    body, reasons = {}, []
    for key, value in wanted.items():
        found = context.state.setting(key)
        if not options.same(value, found):
            body[key] = value
            reasons.append(f"{key}: {shown(found)} → {shown(value)}")
    return body, reasons


def _problems(context: Context, body: Values) -> list[str]:
    if "auth_mode" not in body:
        return []
    users = [u["username"] for u in context.state.items("users") if u["user_id"] != ADMIN_ID]
    if users or context.state.entry("auth_mode").get("editable") is False:
        who = f" ({', '.join(sorted(users))})" if users else ""
        problem = (
            f"auth.mode: Harbor refuses {body['auth_mode']} while there are local users besides "
            f"admin{who}: delete them first"
        )
        return [problem]
    return []


def _login(auth: Auth | None) -> Values:
    if auth is None:
        return {}
    values: Values = {"auth_mode": MODES[auth.mode]}
    if auth.primary is not None:
        values["primary_auth_mode"] = auth.primary
    if auth.oidc:
        values |= _oidc(auth.oidc)
    if auth.ldap:
        values |= _ldap(auth.ldap)
    return {key: value for key, value in values.items() if value is not None}


def _oidc(oidc: Oidc) -> Values:
    extra = oidc.extra_redirect_parameters
    return {
        "oidc_name": oidc.name,
        "oidc_endpoint": oidc.endpoint,
        "oidc_client_id": oidc.client_id,
        "oidc_client_secret": oidc.client_secret,
        "oidc_groups_claim": oidc.groups_claim,
        "oidc_admin_group": oidc.admin_group,
        "oidc_group_filter": oidc.group_filter,
        "oidc_scope": ",".join(oidc.scope),
        "oidc_verify_cert": oidc.verify_certificate,
        "oidc_auto_onboard": oidc.auto_onboard,
        "oidc_user_claim": oidc.user_claim,
        "oidc_extra_redirect_parms": None if extra is None else json.dumps(extra, sort_keys=True),
        "oidc_logout": oidc.logout,
    }


def _ldap(ldap: Ldap) -> Values:
    return {
        "ldap_url": ldap.url,
        "ldap_base_dn": ldap.base_dn,
        "ldap_search_dn": ldap.search_dn,
        "ldap_search_password": ldap.search_password,
        "ldap_uid": ldap.uid,
        "ldap_filter": ldap.filter,
        "ldap_scope": LDAP_SCOPES[ldap.scope],
        "ldap_timeout": ldap.timeout,
        "ldap_verify_cert": ldap.verify_certificate,
        "ldap_group_base_dn": ldap.group_base_dn,
        "ldap_group_search_filter": ldap.group_filter,
        "ldap_group_attribute_name": ldap.group_name_attribute,
        "ldap_group_admin_dn": ldap.group_admin_dn,
        "ldap_group_membership_attribute": ldap.group_membership_attribute,
    }
