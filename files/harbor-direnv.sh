# An operator who enters /opt/harbor gets its environment.
if [ -n "${BASH_VERSION:-}" ] && command -v direnv >/dev/null; then
    eval "$(direnv hook bash)"
fi
