"""The system settings of GET and PUT /configurations: name, type, default, since when."""

from dataclasses import dataclass
from typing import Any

from lab.release.standin.versions import Version


@dataclass(frozen=True)
class Setting:
    """One setting; `secret` ones are never returned."""

    default: Any
    since: Version | None = None
    secret: bool = False
    choices: tuple[str, ...] = ()


AUTH_MODES = ("db_auth", "ldap_auth", "uaa_auth", "http_auth", "oidc_auth")

SETTINGS: dict[str, Setting] = {
    "auth_mode": Setting("db_auth", choices=AUTH_MODES),
    "primary_auth_mode": Setting(False, (2, 8, 0)),
    "ldap_base_dn": Setting(""),
    "ldap_filter": Setting(""),
    "ldap_group_base_dn": Setting(""),
    "ldap_group_admin_dn": Setting(""),
    "ldap_group_attribute_name": Setting(""),
    "ldap_group_search_filter": Setting(""),
    "ldap_group_search_scope": Setting(2),
    "ldap_group_membership_attribute": Setting("memberof"),
    "ldap_group_attach_parallel": Setting(False, (2, 10, 0)),
    "ldap_scope": Setting(2),
    "ldap_search_dn": Setting(""),
    "ldap_search_password": Setting("", secret=True),
    "ldap_timeout": Setting(5),
    "ldap_uid": Setting("cn"),
    "ldap_url": Setting(""),
    "ldap_verify_cert": Setting(True),
    "uaa_client_id": Setting(""),
    "uaa_client_secret": Setting("", secret=True),
    "uaa_endpoint": Setting(""),
    "uaa_verify_cert": Setting(False),
    "http_authproxy_endpoint": Setting(""),
    "http_authproxy_tokenreview_endpoint": Setting(""),
    "http_authproxy_admin_groups": Setting(""),
    "http_authproxy_admin_usernames": Setting(""),
    "http_authproxy_verify_cert": Setting(True),
    "http_authproxy_skip_search": Setting(False),
    "http_authproxy_server_certificate": Setting(""),
    "oidc_name": Setting(""),
    "oidc_endpoint": Setting(""),
    "oidc_client_id": Setting(""),
    "oidc_client_secret": Setting("", secret=True),
    "oidc_scope": Setting(""),
    "oidc_groups_claim": Setting(""),
    "oidc_admin_group": Setting(""),
    "oidc_group_filter": Setting("", (2, 7, 0)),
    "oidc_user_claim": Setting(""),
    "oidc_verify_cert": Setting(True),
    "oidc_auto_onboard": Setting(False),
    "oidc_extra_redirect_parms": Setting("{}"),
    "oidc_logout": Setting(False, (2, 13, 0)),
    "self_registration": Setting(False),
    "project_creation_restriction": Setting("everyone", choices=("everyone", "adminonly")),
    "robot_token_duration": Setting(30),
    "robot_name_prefix": Setting("robot$"),
    "token_expiration": Setting(30),
    "session_timeout": Setting(60, (2, 7, 0)),
    "notification_enable": Setting(True),
    "quota_per_project_enable": Setting(True),
    "storage_per_project": Setting(-1),
    "read_only": Setting(False),
    "audit_log_forward_endpoint": Setting("", (2, 6, 0)),
    "skip_audit_log_database": Setting(False, (2, 6, 0)),
    "pull_audit_log_disable": Setting(False),
    "pull_time_update_disable": Setting(False),
    "pull_count_update_disable": Setting(False),
    "scanner_skip_update_pulltime": Setting(False, (2, 8, 0)),
    "banner_message": Setting("", (2, 9, 0)),
    "disabled_audit_log_event_types": Setting("", (2, 13, 0)),
}
