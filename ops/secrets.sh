#!/usr/bin/env bash
# Secrets for docker-compose.yml, one file each in ops/secrets/, made once and kept: secrets.sh
# Exit status: 0; 1 openssl is missing or a file cannot be written.
set -euo pipefail

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/secrets
umask 077
mkdir -p "$folder"

random() { openssl rand -hex 32; }
keep() { # NAME: standard input into the file, unless it is there
  if [ -e "$folder/$1" ]; then cat >/dev/null; else cat >"$folder/$1.part" && mv "$folder/$1.part" "$folder/$1"; fi
}

random | tr -d '\n' | keep postgres_password
random | tr -d '\n' | keep database_password
printf 'postgresql://milepost:%s@postgres:5432/milepost' "$(cat "$folder/database_password")" | keep milepost_database_url
random | tr -d '\n' | keep milepost_link_secret
random | tr -d '\n' | keep milepost_endpoint_secret
random | tr -d '\n' | keep grafana_password
openssl genpkey -algorithm ed25519 | keep anchor_key
# Containers read them as another user.
chmod 644 "$folder"/*
echo "$folder"
