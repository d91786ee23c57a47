"""The container behind `./prepare`: harbor.yml in, configuration files and docker-compose.yml out.

settings.py   harbor.yml -> Settings, with Harbor's own rules and exit codes
secret.py     the secrets that stay and those that change at every run
render.py     the files under common/config
compose.py    docker-compose.yml as data
folders.py    owners and modes below the data volume
migrate.py    harbor.yml of an older version -> of this one
gencert.py    certificates for TLS between the components
"""
