"""Tools: a table of what an agent can ask for, each with the command that answers it. To add one, add an entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
# What a tool does: it reads; it writes below the root; it runs in the background; it sends something away.
Effect = Literal["reads", "writes", "runs", "sends"]


@dataclass(frozen=True)
class Input:
    """One input of a tool, and how the command takes it: a flag, a switch (true or false), or at its place.

    A ``path`` stays below the server's root.
    """

    name: str
    about: str
    type: Literal["string", "integer", "number", "boolean", "strings"] = "string"
    flag: str = ""
    path: bool = False
    required: bool = False

    def schema(self) -> Json:
        """As a property of the tool's input schema."""
        kinds: Json = {"type": self.type}
        if self.type == "strings":
            kinds = {"type": "array", "items": {"type": "string"}, "minItems": 1}
        return {**kinds, "description": self.about}


@dataclass(frozen=True)
class Tool:
    """What an agent can ask for.

    ``command`` answers with ``--json``; ``own`` names a function of :mod:`numerai_ray.mcp_server.reading` instead.
    ``page`` is a list of the answer that is given in pages of ``per_page``, the latest first where ``latest``. With
    ``data`` the command reads the data root.
    """

    name: str
    about: str
    command: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    effect: Effect = "reads"
    data: bool = False
    page: str = ""
    per_page: int = 20
    latest: bool = False
    own: str = ""

    def all_inputs(self) -> tuple[Input, ...]:
        """Its inputs, those of its pages among them."""
        return (*self.inputs, *(PAGES if self.page else ()))

    def schema(self) -> Json:
        """The JSON Schema of its inputs."""
        inputs = self.all_inputs()
        return {
            "type": "object",
            "properties": {each.name: each.schema() for each in inputs},
            "required": [each.name for each in inputs if each.required],
            "additionalProperties": False,
        }


PAGES = (
    Input("limit", "At most so many entries.", "integer"),
    Input("offset", "Leave out so many entries first.", "integer"),
)
EXP = Input("experiment", "Folder of an experiment, e.g. experiments/wider-trees.", path=True, required=True)
VARIANT = Input("variant", "A variant's id, e.g. r02-num_leaves=63, or its name.", required=True)
IN_PROCESS = Input("in_process", "No Ray: one fit at a time, for debugging.", "boolean", "--in-process")
ACCEPT_SUSPECT = Input(
    "accept_suspect", "Let a variant win although it looks like a leak.", "boolean", "--accept-suspect"
)
TIMEOUT = Input("timeout_s", "Answer after so many seconds at the latest; 50 unless given, 600 at most.", "number")

TOOLS = (
    Tool(
        "data_info",
        "Data versions under the data root: files with eras, feature sets, targets, benchmarks, problems.",
        ("data", "info"),
        (Input("version", "Only this data version.", flag="--version"),),
        data=True,
    ),
    Tool(
        "history",
        "What was tried in all experiments and what came of it; search it before planning, negative results too.",
        ("history",),
        (
            Input("root", "Folder that holds experiments; else experiments.", path=True),
            Input("find", "Words that idea, novelty or name hold.", flag="--find"),
            Input("dimension", "Name or path of a dimension, or a part.", flag="--dimension"),
            Input("target", "Name of a target, or a part.", flag="--target"),
            Input("outcome", "gain, inside the noise, no gain or open.", flag="--outcome"),
        ),
        page="experiments",
    ),
    Tool(
        "plan_new",
        "Write a commented experiment.yaml. Edit that file then; `schema` of kind plan describes its keys.",
        ("new",),
        (
            Input("experiment", "Folder to make, e.g. experiments/wider-trees.", path=True, required=True),
            Input("idea", "What should help, and why: a sentence.", flag="--idea", required=True),
            Input("novelty", "What nobody has tried yet: a sentence.", flag="--novelty", required=True),
            Input("kind", "hyperparameters, targets, data, models or ensembles.", flag="--kind"),
            Input("baseline", "A file of experiments/baselines/.", flag="--baseline"),
            Input("space", "A file of search_spaces/ instead of the kind's.", flag="--space"),
            Input("feature_set", "Feature set to scout on.", flag="--feature-set"),
            Input("target", "What is learned, instead of the baseline's.", flag="--target"),
            Input("data_version", "Data version instead of the baseline's.", flag="--data-version"),
            Input("vary", "Dimensions written inline: PATH=V1,V2 each.", "strings", "--vary"),
        ),
        "writes",
        data=True,
    ),
    Tool(
        "schema",
        "JSON Schema of a file that you write.",
        ("schema",),
        (Input("kind", "plan, config or search-space.", flag="--file", required=True),),
    ),
    Tool(
        "plan_check",
        "Check a plan on the data, every stage and value, without training; all problems at once with their lines.",
        ("plan", "--no-calibrate"),
        (EXP,),
        data=True,
        page="rounds",
    ),
    Tool(
        "forecast",
        "What a run will take: fits, seconds, memory. Trains a few trees to tell the time.",
        ("plan",),
        (EXP, IN_PROCESS),
        "writes",
        data=True,
        page="rounds",
    ),
    Tool(
        "run",
        "Start or go on with an experiment in the background; answers at once and outlives this connection. "
        "Then ask `wait` or `status`.",
        ("run",),
        (
            EXP,
            IN_PROCESS,
            Input("rounds", "Stop after so many more rounds.", "integer", "--rounds"),
            Input("stop_after", "Stop when this stage is over, e.g. scout.", flag="--stop-after"),
            Input("extend", "Go on scouting after a finished experiment.", "boolean", "--extend"),
            ACCEPT_SUSPECT,
        ),
        "runs",
        data=True,
    ),
    Tool(
        "queue",
        "Work through several experiments in the background, the most promising first, within one budget; the summary "
        "is the resource numerai-ray://summary. Then `wait` for the first of them.",
        ("run",),
        (
            Input("experiments", "Folders of experiments.", "strings", path=True, required=True),
            IN_PROCESS,
            Input("hours", "Begin no round after so many hours.", "number", "--hours"),
            Input("rounds", "So many rounds over all at most.", "integer", "--rounds"),
            ACCEPT_SUSPECT,
        ),
        "runs",
        data=True,
    ),
    Tool(
        "round",
        "Start one round of one variable by hand, in the background.",
        ("round",),
        (EXP, IN_PROCESS, Input("vary", "PATH=V1,V2: the one variable.", flag="--vary", required=True), ACCEPT_SUSPECT),
        "runs",
        data=True,
    ),
    Tool(
        "status",
        "Where an experiment stands: state, running round, best so far, decided rounds (latest first), and how its "
        "last background run ended.",
        ("status",),
        (EXP,),
        page="rounds",
        per_page=2,
        latest=True,
    ),
    Tool(
        "wait",
        "Wait until a background run ends, or with until=round a round is decided; then the status.",
        ("status",),
        (EXP, TIMEOUT, Input("until", "end or round.")),
        page="rounds",
        per_page=1,
        latest=True,
    ),
    Tool(
        "leaderboard",
        "Configurations best first, a stage at a time. Read `verdict` before `delta`.",
        ("leaderboard",),
        (EXP, Input("stage", "Only this stage.", flag="--stage"), Input("top", "So many a stage.", "integer", "--top")),
        page="rows",
    ),
    Tool(
        "answer",
        "What an experiment found so far, in one block: verdict, gain with its interval, what it costs, what makes it "
        "doubtful, and the next command. Read it before the leaderboard.",
        inputs=(EXP,),
        own="answer",
    ),
    Tool(
        "report",
        "Write the report again; answers where report, page and plots are. Read them as resources.",
        ("report",),
        (EXP,),
        "writes",
        page="rounds",
        per_page=1,
        latest=True,
    ),
    Tool(
        "per_era",
        "CORR, BMC and correlation with the benchmark of a variant by era, the latest eras first.",
        inputs=(EXP, VARIANT),
        own="per_era",
        page="rows",
        per_page=50,
        latest=True,
    ),
    Tool(
        "compare",
        "Experiments side by side: base, baseline, winner and benchmark.",
        ("compare",),
        (Input("experiments", "Folders of experiments.", "strings", path=True, required=True),),
        page="rows",
    ),
    Tool(
        "evaluate",
        "Score predictions from anywhere (.parquet or .csv with id and prediction): metrics with intervals, coverage.",
        ("evaluate",),
        (
            Input("file", "The predictions.", path=True, required=True),
            Input("data_version", "Data version; else the only one there.", flag="--data-version"),
            Input("column", "The column of predictions.", flag="--column"),
            Input("target", "Score against this target.", flag="--target"),
            Input("against", "Held against these experiments' winners.", "strings", "--against", path=True),
        ),
        data=True,
        page="per_era",
        latest=True,
    ),
    Tool(
        "ensemble",
        "Search a combination of stored predictions: chosen on earlier eras, reported on later ones. Believe `gain`.",
        ("ensemble",),
        (
            Input("experiments", "Folders of experiments.", "strings", path=True, required=True),
            Input("out", "Name of the ensemble.", flag="--out", path=True, required=True),
            Input("members", "So many models at most.", "integer", "--members"),
        ),
        "writes",
        data=True,
    ),
    Tool(
        "recheck",
        "Score a finished experiment's decision on eras that came since: does the gain hold?",
        ("recheck",),
        (EXP, IN_PROCESS),
        "writes",
        data=True,
    ),
    Tool(
        "follow",
        "How models at Numerai do live beside what their experiments promised. Needs the user's API key.",
        ("follow",),
        (Input("models", "Names of models; else all of the account.", "strings"),),
        data=True,
    ),
    Tool(
        "note",
        "Keep a remark with an experiment, why something was tried or left; without text, the remarks so far.",
        ("note",),
        (EXP, Input("text", "The remark.")),
        "writes",
        page="notes",
        latest=True,
    ),
    Tool(
        "config_diff",
        "What differs between the configurations of two variants of an experiment.",
        inputs=(EXP, VARIANT, Input("other", "The other variant's id or name.", required=True)),
        own="config_diff",
    ),
    Tool(
        "export",
        "Refit a variant on every labelled era into a pickle for Numerai; takes minutes.",
        ("export",),
        (
            EXP,
            Input("out", "The pickle, e.g. model.pkl.", flag="--out", path=True, required=True),
            Input("variant", "A variant's id or name; else the winner.", flag="--variant"),
            Input("python", "Python version of Numerai's container.", flag="--python"),
            IN_PROCESS,
        ),
        "writes",
        data=True,
    ),
    Tool(
        "verify",
        "Try a pickle as Numerai runs it. A pickle is code: only those that you or the user made.",
        ("verify",),
        (Input("pickle", "Made by export.", path=True, required=True),),
        "writes",
    ),
    Tool("store_info", "How many trained fits are kept, how large and how old.", ("store", "info"), data=True),
    Tool(
        "upload",
        "Send a pickle to a model slot at Numerai. The user is asked before anything is sent.",
        ("upload", "--yes"),
        (
            Input("pickle", "Made by export.", path=True, required=True),
            Input("model", "Name of an existing slot, whose model it replaces.", flag="--model"),
            Input("new", "Name of a slot to make.", flag="--new"),
        ),
        "sends",
    ),
)


def offered(*, allow_upload: bool) -> dict[str, Tool]:
    """Tools by name; those that send something away only where that is allowed."""
    return {each.name: each for each in TOOLS if allow_upload or each.effect != "sends"}


def command_line(tool: Tool, given: Mapping[str, Any], data_dir: str | None) -> list[str]:
    """Arguments of ``numerai-ray`` for a call.

    A value never stands where it could be read as another flag: flags take theirs with ``=``, and what has its place
    stands behind ``--``.
    """
    flags: list[str] = []
    places: list[str] = []
    for each in tool.inputs:
        value = given.get(each.name)
        if value is None or value is False or (each.name in _SERVERS_OWN and not each.flag):
            continue
        values = value if isinstance(value, list) else [value]
        if not each.flag:
            places += map(str, values)
        elif value is True:
            flags.append(each.flag)
        else:
            flags += [f"{each.flag}={one}" for one in values]
    if tool.data and data_dir is not None:
        flags.append(f"--data-dir={data_dir}")
    asked = [] if tool.name == "schema" else ["--json"]
    return [*tool.command, *flags, *asked, *(["--", *places] if places else [])]


_SERVERS_OWN = {"timeout_s", "until"}
