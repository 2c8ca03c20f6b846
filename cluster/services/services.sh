#!/bin/sh
# The services of a team's searches and runs: sh cluster/services/services.sh WORD
#   secrets      print a file of settings with new random secrets, which is to become services.env
#   postgres     run the database server, in the foreground like the other servers
#   storage      run the object storage, which speaks S3
#   buckets      make the storage's two buckets, once it answers
#   mlflow       run the tracking server, once the database server answers
#   account NAME make an account of the tracking server and print its password
set -eu
here=$(cd "$(dirname "$0")" && pwd)

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

print_settings() {
  while IFS= read -r line; do
    case $line in *=) line=$line$(secret) ;; esac
    printf '%s\n' "$line"
  done < "$here/settings.env"
}

run_postgres() {
  files=$SERVICES_DATA/postgres own='' owner=$(id -un)
  bin=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -n 1) # where Debian keeps initdb
  PATH=${bin:+$bin:}$PATH
  mkdir -p "$files"
  if [ "$owner" = root ]; then # as which Postgres refuses to run
    own='setpriv --reuid=postgres --regid=postgres --init-groups' owner=postgres
    chown postgres "$files"
  fi
  cd "$files"
  [ -f server/PG_VERSION ] || make_databases
  chmod 700 server # Kubernetes may have opened it to a group, and Postgres then refuses it
  exec $own postgres -D server -k "$files" -c listen_addresses="$SERVICES_HOST" -p "$POSTGRES_PORT"
}

make_databases() {
  rm -rf new
  $own initdb --pgdata=new --username=postgres --auth-host=scram-sha-256 --auth-local=peer --encoding=UTF8 \
    --no-instructions > first.log
  # The superuser has no password: only whoever runs the server gets in, by its socket.
  sed -i '1i local all postgres peer map=owner' new/pg_hba.conf
  [ "$SERVICES_HOST" = 127.0.0.1 ] || echo 'host mlflow,accounts,studies mlflow,searcher all scram-sha-256' >> new/pg_hba.conf
  echo "owner $owner postgres" >> new/pg_ident.conf
  $own pg_ctl --pgdata=new --options="-k '$files' -c listen_addresses=''" --wait start >> first.log
  made=0
  $own psql --host="$files" --username=postgres --dbname=postgres --no-psqlrc --quiet --set=ON_ERROR_STOP=1 \
    < "$here/databases.sql" || made=$?
  $own pg_ctl --pgdata=new --wait stop >> first.log
  [ $made = 0 ] || exit $made
  mv new server
}

run_storage() {
  files=$SERVICES_DATA/storage
  mkdir -p "$files"
  umask 077
  keys=$(mktemp)
  print_keys > "$keys"
  exec 3< "$keys"
  rm "$keys" # stays readable as an open file, so that no secret is left on the disk
  port() { echo $((STORAGE_PORT + $1)); }
  # What lies behind the gateway asks for no key, and so listens on the loopback alone.
  exec weed server -dir="$files" -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -filer \
    -master.port="$(port 1)" -volume.port="$(port 2)" -filer.port="$(port 3)" -s3.port.grpc="$(port 4)" \
    -master.port.grpc="$(port 5)" -volume.port.grpc="$(port 6)" -filer.port.grpc="$(port 7)" \
    -s3 -s3.port="$STORAGE_PORT" -s3.ip.bind="$SERVICES_HOST" -s3.config=/dev/fd/3 -s3.iam=false \
    -s3.port.iceberg=0 -s3.port.lance=0 -volume.preStopSeconds=1 -volume.max=0 -master.volumeSizeLimitMB=1024
}

print_keys() {
  # Each of the two opens its own bucket alone.
  cat << JSON
{"identities": [
  {"name": "mlflow", "credentials": [{"accessKey": "mlflow", "secretKey": "$MLFLOW_STORAGE_SECRET"}],
   "actions": ["Admin:mlflow", "Read:mlflow", "Write:mlflow", "List:mlflow"]},
  {"name": "posebed", "credentials": [{"accessKey": "posebed", "secretKey": "$POSEBED_STORAGE_SECRET"}],
   "actions": ["Admin:posebed", "Read:posebed", "Write:posebed", "List:posebed"]}
]}
JSON
}

run_mlflow() {
  # Postgres' own variables, so that no address with a password stands in the list of processes.
  export PGHOST="$POSTGRES_HOST" PGPORT="$POSTGRES_PORT" PGUSER=mlflow PGPASSWORD="$MLFLOW_DATABASE_PASSWORD"
  export AWS_ACCESS_KEY_ID=mlflow AWS_SECRET_ACCESS_KEY="$MLFLOW_STORAGE_SECRET" AWS_DEFAULT_REGION=us-east-1
  export MLFLOW_S3_ENDPOINT_URL="$STORAGE_URL" MLFLOW_AUTH_CONFIG_PATH="$here/auth.ini"
  export MLFLOW_AUTH_ADMIN_USERNAME=admin MLFLOW_AUTH_ADMIN_PASSWORD="$MLFLOW_ADMIN_PASSWORD"
  export MLFLOW_FLASK_SERVER_SECRET_KEY="$MLFLOW_SESSION_SECRET" MLFLOW_DISABLE_TELEMETRY=true
  export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
  # By default a worker process that is busy for five seconds, as with its imports, is killed.
  exec mlflow server --app-name basic-auth --host "$SERVICES_HOST" --port "$MLFLOW_PORT" --workers 2 \
    --uvicorn-opts '--timeout-worker-healthcheck 60' \
    --backend-store-uri postgresql+psycopg2:///mlflow --artifacts-destination s3://mlflow
}

make_buckets() {
  python3 - << 'PYTHON'
import os
import boto3
for name in ("mlflow", "posebed"):
    keys = {"aws_access_key_id": name, "aws_secret_access_key": os.environ[f"{name.upper()}_STORAGE_SECRET"]}
    storage = boto3.client("s3", endpoint_url=os.environ["STORAGE_URL"], region_name="us-east-1", **keys)
    if name not in [bucket["Name"] for bucket in storage.list_buckets()["Buckets"]]:
        storage.create_bucket(Bucket=name)
PYTHON
}

make_account() {
  export MLFLOW_TRACKING_USERNAME=admin MLFLOW_TRACKING_PASSWORD="$MLFLOW_ADMIN_PASSWORD"
  python3 - "$1" << 'PYTHON'
import os
import secrets
import sys
from mlflow.server.auth.client import AuthServiceClient
password = secrets.token_hex(24)
AuthServiceClient(f"http://127.0.0.1:{os.environ['MLFLOW_PORT']}").create_user(sys.argv[1], password)
print(password)
PYTHON
}

word=${1:-}
[ "$word" = secrets ] && { print_settings; exit; }
settings=${SERVICES_ENV-$here/services.env} # empty: they are variables already, as in compose.yaml
if [ -n "$settings" ]; then
  [ -f "$settings" ] || {
    echo "$settings must hold the settings, but is not there; \`services.sh secrets\` prints what it is to hold" >&2
    exit 2
  }
  set -a
  . "$settings"
  set +a
fi
case $word in
  postgres) run_postgres ;;
  storage) run_storage ;;
  mlflow) run_mlflow ;;
  buckets) make_buckets ;;
  account) make_account "${2:?NAME must follow}" ;;
  *) echo "the word must be secrets, postgres, storage, mlflow, buckets or account, but is '$word'" >&2; exit 2 ;;
esac
