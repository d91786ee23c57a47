"""The DNS providers that each version of Traefik knows, with the variables that each needs.

From the tables of Traefik's own documentation, 2.11 to 3.6 (docs/content/https/acme.md; later
pages only link to lego). Variables that are alternatives of each other, or that changed from one
version to another, are not asked for: Traefik's log then says what is missing.
"""

from dataclasses import dataclass

from harbor.shell import Secret

# Read by the AWS SDK, which knows no NAME_FILE but takes its own kind of file.
AWS = ("route53", "lightsail")
AWS_SECRETS = {
    "AWS_ACCESS_KEY_ID": "aws_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "AWS_SESSION_TOKEN": "aws_session_token",
}
AWS_FILE = "AWS_SHARED_CREDENTIALS_FILE"
# Read by an SDK or by Go's own os.Getenv (lego 4): these take no NAME_FILE.
WITHOUT_FILES = ("azure", "azuredns", "exec")

# Version of Traefik from which on it is known -> name: variables it cannot do without.
_BY_VERSION: dict[tuple[int, int], dict[str, str]] = {
    (2, 11): {
        "alidns": "ALICLOUD_ACCESS_KEY ALICLOUD_SECRET_KEY ALICLOUD_REGION_ID",
        "allinkl": "ALL_INKL_LOGIN ALL_INKL_PASSWORD",
        "arvancloud": "ARVANCLOUD_API_KEY",
        "auroradns": "AURORA_USER_ID AURORA_KEY AURORA_ENDPOINT",
        "autodns": "AUTODNS_API_USER AUTODNS_API_PASSWORD",
        "azure": "",
        "azuredns": "",
        "bindman": "BINDMAN_MANAGER_ADDRESS",
        "bluecat": "BLUECAT_SERVER_URL BLUECAT_USER_NAME BLUECAT_PASSWORD BLUECAT_CONFIG_NAME BLUECAT_DNS_VIEW",
        "brandit": "",
        "bunny": "BUNNY_API_KEY",
        "checkdomain": "CHECKDOMAIN_TOKEN",
        "civo": "CIVO_TOKEN",
        "clouddns": "CLOUDDNS_CLIENT_ID CLOUDDNS_EMAIL CLOUDDNS_PASSWORD",
        "cloudflare": "",
        "cloudns": "CLOUDNS_AUTH_ID CLOUDNS_AUTH_PASSWORD",
        "cloudru": "CLOUDRU_SERVICE_INSTANCE_ID CLOUDRU_KEY_ID CLOUDRU_SECRET",
        "cloudxns": "",
        "conoha": "CONOHA_TENANT_ID CONOHA_API_USERNAME CONOHA_API_PASSWORD",
        "constellix": "CONSTELLIX_API_KEY CONSTELLIX_SECRET_KEY",
        "derak": "DERAK_API_KEY",
        "desec": "DESEC_TOKEN",
        "designate": "OS_AUTH_URL OS_USERNAME OS_PASSWORD OS_TENANT_NAME OS_REGION_NAME",
        "digitalocean": "DO_AUTH_TOKEN",
        "dnsimple": "DNSIMPLE_OAUTH_TOKEN DNSIMPLE_BASE_URL",
        "dnsmadeeasy": "DNSMADEEASY_API_KEY DNSMADEEASY_API_SECRET DNSMADEEASY_SANDBOX",
        "dnspod": "",
        "dode": "DODE_TOKEN",
        "domeneshop": "DOMENESHOP_API_TOKEN DOMENESHOP_API_SECRET",
        "dreamhost": "DREAMHOST_API_KEY",
        "duckdns": "DUCKDNS_TOKEN",
        "dyn": "DYN_CUSTOMER_NAME DYN_USER_NAME DYN_PASSWORD",
        "dynu": "DYNU_API_KEY",
        "easydns": "EASYDNS_TOKEN EASYDNS_KEY",
        "edgedns": "AKAMAI_CLIENT_TOKEN AKAMAI_CLIENT_SECRET AKAMAI_ACCESS_TOKEN",
        "efficientip": "EFFICIENTIP_USERNAME EFFICIENTIP_PASSWORD EFFICIENTIP_HOSTNAME EFFICIENTIP_DNS_NAME",
        "epik": "EPIK_SIGNATURE",
        "exec": "EXEC_PATH",
        "exoscale": "EXOSCALE_API_KEY EXOSCALE_API_SECRET EXOSCALE_ENDPOINT",
        "fastdns": "AKAMAI_CLIENT_TOKEN AKAMAI_CLIENT_SECRET AKAMAI_ACCESS_TOKEN",
        "freemyip": "FREEMYIP_TOKEN",
        "gandi": "GANDI_API_KEY",
        "gandiv5": "",
        "gcloud": "",
        "gcore": "GCORE_PERMANENT_API_TOKEN",
        "glesys": "GLESYS_API_USER GLESYS_API_KEY GLESYS_DOMAIN",
        "godaddy": "GODADDY_API_KEY GODADDY_API_SECRET",
        "googledomains": "",
        "hetzner": "",
        "hostingde": "HOSTINGDE_API_KEY HOSTINGDE_ZONE_NAME",
        "hosttech": "HOSTTECH_API_KEY",
        "httpnet": "HTTPNET_API_KEY",
        "httpreq": "HTTPREQ_ENDPOINT",
        "hurricane": "HURRICANE_TOKENS",
        "hyperone": "HYPERONE_PASSPORT_LOCATION HYPERONE_LOCATION_ID",
        "ibmcloud": "SOFTLAYER_USERNAME SOFTLAYER_API_KEY",
        "iij": "IIJ_API_ACCESS_KEY IIJ_API_SECRET_KEY IIJ_DO_SERVICE_CODE",
        "iijdpf": "IIJ_DPF_API_TOKEN IIJ_DPF_DPM_SERVICE_CODE",
        "infoblox": "INFOBLOX_USERNAME INFOBLOX_PASSWORD INFOBLOX_HOST",
        "infomaniak": "INFOMANIAK_ACCESS_TOKEN",
        "internetbs": "INTERNET_BS_API_KEY INTERNET_BS_PASSWORD",
        "inwx": "INWX_USERNAME INWX_PASSWORD",
        "ionos": "IONOS_API_KEY",
        "ipv64": "IPV64_API_KEY",
        "iwantmyname": "IWANTMYNAME_USERNAME IWANTMYNAME_PASSWORD",
        "joker": "JOKER_API_MODE",
        "liara": "LIARA_API_KEY",
        "lightsail": "DNS_ZONE",
        "linode": "LINODE_TOKEN",
        "liquidweb": "LIQUID_WEB_PASSWORD LIQUID_WEB_USERNAME LIQUID_WEB_ZONE",
        "loopia": "LOOPIA_API_PASSWORD LOOPIA_API_USER",
        "luadns": "LUADNS_API_USERNAME LUADNS_API_TOKEN",
        "metaname": "METANAME_ACCOUNT_REFERENCE METANAME_API_KEY",
        "mydnsjp": "MYDNSJP_MASTER_ID MYDNSJP_PASSWORD",
        "mythicbeasts": "MYTHICBEASTS_USER_NAME MYTHICBEASTS_PASSWORD",
        "namecheap": "NAMECHEAP_API_USER NAMECHEAP_API_KEY",
        "namedotcom": "NAMECOM_USERNAME NAMECOM_API_TOKEN NAMECOM_SERVER",
        "namesilo": "NAMESILO_API_KEY",
        "nearlyfreespeech": "NEARLYFREESPEECH_API_KEY NEARLYFREESPEECH_LOGIN",
        "netcup": "NETCUP_CUSTOMER_NUMBER NETCUP_API_KEY NETCUP_API_PASSWORD",
        "netlify": "NETLIFY_TOKEN",
        "nicmanager": "NICMANAGER_API_EMAIL NICMANAGER_API_PASSWORD",
        "nifcloud": "NIFCLOUD_ACCESS_KEY_ID NIFCLOUD_SECRET_ACCESS_KEY",
        "njalla": "NJALLA_TOKEN",
        "nodion": "NODION_API_TOKEN",
        "ns1": "NS1_API_KEY",
        "oraclecloud": "OCI_COMPARTMENT_OCID OCI_REGION OCI_TENANCY_OCID OCI_USER_OCID",
        "otc": "OTC_DOMAIN_NAME OTC_USER_NAME OTC_PASSWORD OTC_PROJECT_NAME OTC_IDENTITY_ENDPOINT",
        "ovh": "OVH_ENDPOINT",
        "pdns": "PDNS_API_KEY PDNS_API_URL",
        "plesk": "PLESK_SERVER_BASE_URL PLESK_USERNAME PLESK_PASSWORD",
        "porkbun": "PORKBUN_SECRET_API_KEY PORKBUN_API_KEY",
        "rackspace": "RACKSPACE_USER RACKSPACE_API_KEY",
        "rcodezero": "RCODEZERO_API_TOKEN",
        "regru": "REGRU_USERNAME REGRU_PASSWORD",
        "rfc2136": "RFC2136_NAMESERVER",
        "rimuhosting": "RIMUHOSTING_API_KEY",
        "route53": "",
        "safedns": "SAFEDNS_AUTH_TOKEN",
        "sakuracloud": "SAKURACLOUD_ACCESS_TOKEN SAKURACLOUD_ACCESS_TOKEN_SECRET",
        "scaleway": "",
        "selectel": "SELECTEL_API_TOKEN",
        "servercow": "SERVERCOW_USERNAME SERVERCOW_PASSWORD",
        "simply": "SIMPLY_ACCOUNT_NAME SIMPLY_API_KEY",
        "sonic": "SONIC_USER_ID SONIC_API_KEY",
        "stackpath": "STACKPATH_CLIENT_ID STACKPATH_CLIENT_SECRET STACKPATH_STACK_ID",
        "tencentcloud": "TENCENTCLOUD_SECRET_ID TENCENTCLOUD_SECRET_KEY",
        "transip": "TRANSIP_ACCOUNT_NAME TRANSIP_PRIVATE_KEY_PATH",
        "ultradns": "ULTRADNS_USERNAME ULTRADNS_PASSWORD",
        "variomedia": "VARIOMEDIA_API_TOKEN",
        "vegadns": "SECRET_VEGADNS_KEY SECRET_VEGADNS_SECRET VEGADNS_URL",
        "vercel": "VERCEL_API_TOKEN",
        "versio": "VERSIO_USERNAME VERSIO_PASSWORD",
        "vinyldns": "VINYLDNS_ACCESS_KEY VINYLDNS_SECRET_KEY VINYLDNS_HOST",
        "vkcloud": "VK_CLOUD_PASSWORD VK_CLOUD_PROJECT_ID VK_CLOUD_USERNAME",
        "vscale": "VSCALE_API_TOKEN",
        "vultr": "VULTR_API_KEY",
        "webnames": "WEBNAMES_API_KEY",
        "websupport": "WEBSUPPORT_API_KEY WEBSUPPORT_SECRET",
        "wedos": "WEDOS_USERNAME WEDOS_WAPI_PASSWORD",
        "yandex": "YANDEX_PDD_TOKEN",
        "yandex360": "YANDEX360_OAUTH_TOKEN YANDEX360_ORG_ID",
        "yandexcloud": "YANDEX_CLOUD_FOLDER_ID YANDEX_CLOUD_IAM_TOKEN",
        "zoneee": "ZONEEE_API_USER ZONEEE_API_KEY",
        "zonomi": "ZONOMI_API_KEY",
    },
    (3, 0): {
        "cpanel": "CPANEL_MODE CPANEL_USERNAME CPANEL_TOKEN CPANEL_BASE_URL",
        "mailinabox": "MAILINABOX_EMAIL MAILINABOX_PASSWORD MAILINABOX_BASE_URL",
        "selectelv2": "SELECTELV2_ACCOUNT_ID SELECTELV2_PASSWORD SELECTELV2_PROJECT_ID SELECTELV2_USERNAME",
        "shellrent": "SHELLRENT_USERNAME SHELLRENT_TOKEN",
    },
    (3, 2): {
        "directadmin": "DIRECTADMIN_API_URL DIRECTADMIN_USERNAME DIRECTADMIN_PASSWORD",
        "huaweicloud": "HUAWEICLOUD_ACCESS_KEY_ID HUAWEICLOUD_SECRET_ACCESS_KEY HUAWEICLOUD_REGION",
        "limacity": "LIMACITY_API_KEY",
        "mijnhost": "MIJNHOST_API_KEY",
        "mittwald": "MITTWALD_TOKEN",
        "selfhostde": "SELFHOSTDE_USERNAME SELFHOSTDE_PASSWORD SELFHOSTDE_RECORDS_MAPPING",
    },
    (3, 3): {
        "corenetworks": "CORENETWORKS_LOGIN CORENETWORKS_PASSWORD",
        "manageengine": "MANAGEENGINE_CLIENT_ID MANAGEENGINE_CLIENT_SECRET",
        "rainyun": "RAINYUN_API_KEY",
        "regfish": "",
        "technitium": "TECHNITIUM_SERVER_BASE_URL TECHNITIUM_API_TOKEN",
        "timewebcloud": "TIMEWEBCLOUD_AUTH_TOKEN",
        "volcengine": "VOLC_ACCESSKEY VOLC_SECRETKEY",
        "westcn": "WESTCN_USERNAME WESTCN_PASSWORD",
    },
    (3, 4): {
        "active24": "ACTIVE24_API_KEY ACTIVE24_SECRET",
        "axelname": "AXELNAME_NICKNAME AXELNAME_TOKEN",
        "baiducloud": "BAIDUCLOUD_ACCESS_KEY_ID BAIDUCLOUD_SECRET_ACCESS_KEY",
        "bookmyname": "BOOKMYNAME_USERNAME BOOKMYNAME_PASSWORD",
        "f5xc": "F5XC_API_TOKEN F5XC_TENANT_NAME F5XC_GROUP_NAME",
        "metaregistrar": "METAREGISTRAR_API_TOKEN",
        "myaddr": "MYADDR_PRIVATE_KEYS_MAPPING",
        "spaceship": "SPACESHIP_API_KEY SPACESHIP_API_SECRET",
    },
    (3, 6): {
        "azion": "AZION_PERSONAL_TOKEN",
        "beget": "BEGET_USERNAME BEGET_PASSWORD",
        "binarylane": "BINARYLANE_API_TOKEN",
        "conohav3": "CONOHAV3_TENANT_ID CONOHAV3_API_USER_ID CONOHAV3_API_PASSWORD",
        "dyndnsfree": "DYNDNSFREE_USERNAME DYNDNSFREE_PASSWORD",
        "edgeone": "EDGEONE_SECRET_ID EDGEONE_SECRET_KEY",
        "hostinger": "HOSTINGER_API_TOKEN",
        "keyhelp": "KEYHELP_API_KEY KEYHELP_BASE_URL",
        "nicru": "NICRU_USER NICRU_PASSWORD NICRU_SERVICE_ID NICRU_SECRET NICRU_SERVICE_NAME",
        "octenium": "OCTENIUM_API_KEY",
        "zoneedit": "ZONEEDIT_USER ZONEEDIT_AUTH_TOKEN",
    },
}
SINCE = {name: since for since, group in _BY_VERSION.items() for name in group}
_REQUIRED = {name: words for group in _BY_VERSION.values() for name, words in group.items()}


def known(traefik: tuple[int, int]) -> list[str]:
    """The providers that a Traefik of this version (major, minor) knows."""
    # 2.11 is the oldest table here: what it has is taken for older ones too.
    return [name for name, since in SINCE.items() if since <= max(traefik, (2, 11))]


def required(provider: str) -> list[str]:
    """The variables that a provider cannot do without."""
    return _REQUIRED[provider].split()


@dataclass(frozen=True)
class Handed:
    """How Traefik gets a provider's variables: in its environment, and in files by their name."""

    environment: dict[str, str]
    secrets: dict[str, Secret]  # in the environment, since the provider takes no file
    files: dict[str, Secret]


def hand(provider: str, plain: dict[str, str], secrets: dict[str, Secret], folder: str) -> Handed:
    """Secrets as files of `folder` wherever the provider can read one, so that none shows."""
    if provider in AWS:
        return _aws(plain, secrets, folder)
    if provider in WITHOUT_FILES:
        return Handed(plain, secrets, {})
    environment = dict(plain)
    for name in secrets:
        # A variable that names a file anyway (GCE_SERVICE_ACCOUNT_FILE) gets its content so.
        environment[name if name.endswith("_FILE") else f"{name}_FILE"] = f"{folder}/{name}"
    return Handed(environment, {}, dict(secrets))


def _aws(plain: dict[str, str], secrets: dict[str, Secret], folder: str) -> Handed:
    own = {name: secret for name, secret in secrets.items() if name in AWS_SECRETS}
    others = {name: secret for name, secret in secrets.items() if name not in own}
    if not own:
        return Handed(plain, others, {})
    lines = [f"{AWS_SECRETS[name]} = {secret.reveal()}" for name, secret in own.items()]
    content = Secret("\n".join(["[default]", *lines, ""]))
    environment = {**plain, AWS_FILE: f"{folder}/{AWS_FILE}"}
    return Handed(environment, others, {AWS_FILE: content})
