#!/bin/sh
# Installs taxdisk from the folder that this file lies in, on hosts without Debian's packages, and removes it again.
#
#   ./install.sh install agent                  (or broker, portal, cli; several at once)
#   ./install.sh uninstall agent [--purge]
#
# It starts nothing and calls nobody. DESTDIR=/some/folder installs below that folder, for images, and makes no accounts.
# Everything is inside main(): a file that arrived in part does nothing.

main() {
    set -eu
    here=$(cd "$(dirname "$0")" && pwd)
    root="${DESTDIR:-}"
    lists="$root/usr/share/taxdisk/installed"
    action="${1:-}"
    [ $# -gt 0 ] && shift
    purge=no
    parts=""
    for word in "$@"; do
        case "$word" in
        --purge) purge=yes ;;
        agent | broker | portal | cli) parts="$parts $word" ;;
        *) usage "There is no part $word." ;;
        esac
    done
    case "$action" in
    install | uninstall) ;;
    *) usage "Say install or uninstall." ;;
    esac
    [ -n "$parts" ] || usage "Say which parts: agent, broker, portal, cli."
    if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
        fail "Run this as root: it writes to /usr, /etc and /var."
    fi
    for part in $parts; do
        name=$(name_of "$part")
        "${action}_part"
    done
    reload
}

usage() {
    echo "$1" >&2
    sed -n '4,5s/^# *//p' "$0" >&2
    exit 2
}

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

name_of() {
    case "$1" in cli) echo taxdisk ;; *) echo "taxdisk-$1" ;; esac
}

install_part() {
    tree="$here/$name"
    [ -d "$tree" ] || fail "$tree is missing: unpack the archive whole."
    if [ -z "$root" ] && command -v dpkg >/dev/null && dpkg --status "$name" >/dev/null 2>&1; then
        fail "$name is installed as a Debian package: update that one, or remove it first."
    fi
    # Files of an older version that this one no longer has go first.
    [ -f "$lists/$name" ] && remove_files
    mkdir -p "$lists"
    (cd "$tree" && find . -type f | sed 's/^\.//' | sort) | while IFS= read -r file; do
        put "$file"
    done
    (cd "$tree" && find . -type f | sed 's/^\.//' | sort) | grep -v '^/etc/' >"$lists/$name.new"
    mv "$lists/$name.new" "$lists/$name"
    make_account
    echo "$name is installed."
    case "$name" in
    taxdisk-agent) echo "Next: taxdisk-agent install" ;;
    taxdisk-broker) echo "Next: systemctl enable --now taxdisk-broker; the administrator's key is then in /var/lib/taxdisk-broker/admin.key" ;;
    taxdisk-portal) echo "Next: edit /etc/taxdisk/portal.toml, then systemctl enable --now taxdisk-portal" ;;
    esac
}

# A program that runs keeps its old file: the new one is written beside it and renamed.
put() {
    file="$1"
    mode=0644
    [ -x "$tree$file" ] && mode=0755
    target="$root$file"
    mkdir -p "$(dirname "$target")"
    case "$file" in
    /etc/*)
        # What a person may have written is never overwritten.
        if [ -f "$target" ]; then
            if ! cmp -s "$tree$file" "$target"; then
                install -m 0644 "$tree$file" "$target.new"
                echo "$file is kept; the one of this version is $file.new"
            fi
            return
        fi
        ;;
    esac
    install -m "$mode" "$tree$file" "$target.taxdisk-new"
    mv "$target.taxdisk-new" "$target"
}

make_account() {
    [ -z "$root" ] && [ "$name" != taxdisk ] || return 0
    groups=""
    [ "$name" = taxdisk-agent ] && groups="dialout taxdisk"
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers "/usr/lib/sysusers.d/$name.conf"
    else
        for group in $groups "$name"; do
            getent group "$group" >/dev/null || groupadd --system "$group"
        done
        getent passwd "$name" >/dev/null ||
            useradd --system --gid "$name" --no-create-home --home-dir / --shell /usr/sbin/nologin "$name"
        for group in $groups; do
            usermod --append --groups "$group" "$name"
        done
    fi
    [ -d "/var/lib/$name" ] || install -d -m 0700 -o "$name" -g "$name" "/var/lib/$name"
    [ "$name" = taxdisk-agent ] && mkdir -p /etc/taxdisk/profiles.d
    return 0
}

uninstall_part() {
    [ -f "$lists/$name" ] || fail "$name was not installed by this script."
    if [ -z "$root" ] && [ -d /run/systemd/system ] && [ "$name" != taxdisk ]; then
        # It ends by itself, so that no command on a disk is cut off.
        systemctl disable --now "$name.service" || true
    fi
    remove_files
    rm -f "$lists/$name"
    data="$root/var/lib/$name"
    config="$root/etc/taxdisk/${name#taxdisk-}.toml"
    if [ "$purge" = yes ]; then
        if [ -d "$data" ] && [ -e "$data/KEEP" ]; then
            echo "$data stays, because of $data/KEEP."
        elif [ -d "$data" ]; then
            echo "Purging $data ($(du -sh "$data" | cut -f1)): keys, journal or ledger, and everything else that $name kept."
            rm -rf "$data"
        fi
        rm -f "$config" "$config.new"
        if [ -z "$root" ] && [ ! -d "$data" ] && getent passwd "$name" >/dev/null; then
            userdel "$name"
        fi
    elif [ -d "$data" ] || [ -f "$config" ]; then
        echo "$data and $config stay; uninstall with --purge removes them."
    fi
    rmdir "$lists" "$root/usr/share/taxdisk" "$root/etc/taxdisk/profiles.d" "$root/etc/taxdisk" 2>/dev/null || true
    echo "$name is removed."
}

remove_files() {
    while IFS= read -r file; do
        rm -f "$root$file"
        folder=$(dirname "$root$file")
        # Our own folders go with their last file; those of the system are not empty.
        case "$folder" in */taxdisk* | */doc/taxdisk*) rmdir -p "$folder" 2>/dev/null || true ;; esac
    done <"$lists/$name"
}

reload() {
    [ -z "$root" ] && [ -d /run/systemd/system ] || return 0
    systemctl daemon-reload
    if command -v udevadm >/dev/null; then
        udevadm control --reload || true
    fi
}

main "$@"
