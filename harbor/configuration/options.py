"""The system settings of `PUT /configurations`: type, first release and default of each.

Source: definition `Configurations` of api/v2.0/swagger.yaml at 2.7.4 and 2.15.2, and
src/lib/config/metadata/metadatalist.go for defaults and for the pull_* keys, which the
API takes and the specification does not list.
"""

from dataclasses import dataclass
from typing import Any

from harbor.versions import Version

OLDEST = Version(2, 4, 0)


@dataclass(frozen=True)
class Option:
    """One key; `default` None: nothing can be said about it."""

    type: type
    default: Any = None
    since: Version = OLDEST
    secret: bool = False


def _text(default: str = "", since: Version = OLDEST) -> Option:
    return Option(str, default, since)


def _flag(default: bool, since: Version = OLDEST) -> Option:
    return Option(bool, default, since)


def _number(default: int, since: Version = OLDEST) -> Option:
    return Option(int, default, since)


_SECRET = Option(str, secret=True)

OPTIONS: dict[str, Option] = {
    "auth_mode": _text("db_auth"),
    "primary_auth_mode": _flag(False, Version(2, 8, 0)),
    "oidc_name": _text(),
    "oidc_endpoint": _text(),
    "oidc_client_id": _text(),
    "oidc_client_secret": _SECRET,
    "oidc_groups_claim": _text(),
    "oidc_admin_group": _text(),
    "oidc_group_filter": _text("", Version(2, 7, 0)),
    "oidc_scope": _text(),
    "oidc_user_claim": _text(),
    "oidc_verify_cert": _flag(True),
    "oidc_auto_onboard": _flag(False),
    "oidc_extra_redirect_parms": _text("{}"),
    "oidc_logout": _flag(False, Version(2, 13, 0)),
    "ldap_url": _text(),
    "ldap_search_dn": _text(),
    "ldap_search_password": _SECRET,
    "ldap_base_dn": _text(),
    "ldap_filter": _text(),
    "ldap_uid": _text("cn"),
    "ldap_scope": _number(2),
    "ldap_timeout": _number(5),
    "ldap_verify_cert": _flag(True),
    "ldap_group_base_dn": _text(),
    "ldap_group_search_filter": _text(),
    "ldap_group_attribute_name": _text(),
    "ldap_group_search_scope": _number(2),
    "ldap_group_admin_dn": _text(),
    "ldap_group_membership_attribute": _text("memberof"),
    "ldap_group_attach_parallel": _flag(False, Version(2, 10, 0)),
    "uaa_client_id": _text(),
    "uaa_client_secret": _SECRET,
    "uaa_endpoint": _text(),
    "uaa_verify_cert": _flag(False),
    "http_authproxy_endpoint": _text(),
    "http_authproxy_tokenreview_endpoint": _text(),
    "http_authproxy_admin_groups": _text(),
    "http_authproxy_admin_usernames": _text(),
    "http_authproxy_verify_cert": _flag(True),
    "http_authproxy_skip_search": _flag(False),
    "http_authproxy_server_certificate": _text(),
    "self_registration": _flag(False),
    "project_creation_restriction": _text("everyone"),
    "robot_token_duration": _number(30),
    "robot_name_prefix": _text("robot$"),
    "token_expiration": _number(30),
    "session_timeout": _number(60, Version(2, 7, 0)),
    "notification_enable": _flag(True),
    "quota_per_project_enable": _flag(True),
    "storage_per_project": _number(-1),
    "read_only": _flag(False),
    "audit_log_forward_endpoint": _text("", Version(2, 6, 0)),
    "skip_audit_log_database": _flag(False, Version(2, 6, 0)),
    "pull_audit_log_disable": _flag(False),
    "pull_time_update_disable": _flag(False),
    "pull_count_update_disable": _flag(False),
    "scanner_skip_update_pulltime": _flag(False, Version(2, 8, 0)),
    "banner_message": _text("", Version(2, 9, 0)),
    "disabled_audit_log_event_types": _text("", Version(2, 13, 0)),
}
LOGIN_PREFIXES = ("oidc_", "ldap_", "uaa_", "http_authproxy_")


def problem(key: str, value: object, version: Version) -> str | None:
    """Why this release cannot be given `value` for `key`, or None."""
    option = OPTIONS.get(key)
    if option is None:
        return "is no system setting of Harbor"
    if version < option.since:
        return f"needs Harbor {option.since} ({version} is declared)"
    if not isinstance(value, option.type) or (option.type is int and isinstance(value, bool)):
        names = {str: "text", bool: "true or false", int: "a number"}
        return f"must be {names[option.type]}, not {value!r}"
    return None


def same(wanted: object, found: object) -> bool:
    """Whether Harbor's answer means the wanted value; it may answer numbers and flags as text."""
    if isinstance(wanted, bool):
        return str(found).lower() == str(wanted).lower()
    return str(wanted) == str("" if found is None else found)
