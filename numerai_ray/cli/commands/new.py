"""``new``: a commented experiment.yaml from answers, each checked where it is given."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import TypeAdapter, ValidationError

from numerai_ray.cli.options import DataDirOption, JsonOption, varied
from numerai_ray.config.json_schema import editor_line
from numerai_ray.config.plan import load_plan
from numerai_ray.config.plan_schema import Sentence
from numerai_ray.config.plan_template import SPACES, Answers, Kind, plan_text
from numerai_ray.config.shipped import find_shipped
from numerai_ray.errors import RequestError, nearest
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.progress.terminal import say
from numerai_ray.session.choices import baseline_data, names_of, told_of, version_choices, versions
from numerai_ray.session.versions import newest_known
from numerai_ray.system.files import write_text
from numerai_ray.system.storage import DATA_ROOT_VARIABLE

DEFAULT_BASELINE = "small_lgbm_ender20"
# What is asked for stands in for itself until it is answered, so that flags are checked before anybody is asked.
NOT_YET = "what is still to be asked for"
MOST_LISTED = 50
ABOUT: dict[Kind, str] = {
    "hyperparameters": "how the baseline's model is trained",
    "targets": "what is learned",
    "data": "features, eras and their weights",
    "models": "another library or network",
    "ensembles": "what is made of predictions: mixing, neutralizing, blending",
}


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog='Example: numerai-ray new experiments/wide --idea "Wider trees …" --novelty "Nobody …"')(new)


def _at_terminal() -> bool:
    return sys.stdin.isatty()


@dataclass
class Interview:
    """Answers as they come, by flag: given ones are never asked for, and none is lost when the last does not come."""

    folder: Path
    root: Path
    given: dict[str, str | None]
    version: Callable[[], str]  # the data version where nobody names one
    asked: dict[str, str] = field(default_factory=dict)
    # At a terminal everything is asked for; elsewhere what has no default.
    all_of_it: bool = False

    def answer(
        self,
        flag: str,
        question: str,
        check: Callable[[str], str],
        default: str | None = None,
        known: Sequence[str] = (),
    ) -> str:
        """The flag's value, or the answer of whoever is at the terminal, or the default."""
        given = self.given.get(flag)
        if given is not None:
            try:
                return check(given)
            except RequestError as error:
                raise RequestError(f"{flag}: {error}") from None
        if default is not None and not self.all_of_it:
            return default
        for line in known[:MOST_LISTED]:
            say(f"  {line}")
        if len(known) > MOST_LISTED:
            say(f"  … and {len(known) - MOST_LISTED} more")
        try:
            found = str(typer.prompt(question, default=default, value_proc=lambda text: _again(check, text)))
        except typer.Abort:
            raise RequestError(
                f"{flag} is needed where nobody can be asked; give it as a flag{self._so_far()}"
            ) from None
        self.asked[flag] = found
        return found

    def _so_far(self) -> str:
        if not self.asked:
            return ""
        told = {flag: value for flag, value in {**self.given, **self.asked}.items() if value is not None}
        flags = " ".join(f"{flag} {shlex.quote(value)}" for flag, value in told.items())
        return f". Nothing of what was answered is lost:\nnumerai-ray new {shlex.quote(str(self.folder))} {flags}"


def new(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="Folder to make, e.g. experiments/wider-trees.")],
    idea: Annotated[str | None, typer.Option("--idea", help="What should help, and why.")] = None,
    novelty: Annotated[str | None, typer.Option("--novelty", help="What nobody has tried yet.")] = None,
    data_dir: DataDirOption = None,
    *,
    kind: Annotated[
        str | None, typer.Option("--kind", help=f"Kind of research: {', '.join(SPACES)}; else hyperparameters.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help=f"A file of experiments/baselines/; else {DEFAULT_BASELINE}.")
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", help="A file of search_spaces/ instead of the kind's.")
    ] = None,
    feature_set: Annotated[
        str | None, typer.Option("--feature-set", help="Feature set to scout on; else medium.")
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="What is learned, instead of the baseline's.")] = None,
    data_version: Annotated[
        str | None,
        typer.Option("--data-version", help="Else the baseline's, else the newest here, else at Numerai."),
    ] = None,
    vary: Annotated[
        list[str] | None, typer.Option("--vary", metavar="PATH=V1,V2", help="An inline dimension; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a commented experiment.yaml; at a terminal, what is not given as a flag is asked for."""
    paths = ExperimentPaths(folder)
    if paths.plan.exists():
        raise RequestError(f"{paths.plan} is there already; choose another name, or edit it")
    flags = {
        "--idea": idea,
        "--novelty": novelty,
        "--kind": kind,
        "--space": space,
        "--data-version": data_version,
        "--baseline": baseline,
        "--feature-set": feature_set,
        "--target": target,
    }
    root = Path(data_dir or os.environ.get(DATA_ROOT_VARIABLE) or "data")
    interview = Interview(folder, root, flags, cache(lambda: _newest(root)), all_of_it=_at_terminal())
    dimensions = tuple((path.rsplit(".", 1)[-1], path, tuple(values)) for path, values in map(varied, vary or []))
    _check_flags(interview, dimensions)
    answers = _answers(interview, dimensions)
    _write(paths, answers)
    if as_json:
        value = {"experiment": str(folder), "plan": str(paths.plan), "next": f"numerai-ray plan {folder}"}
        say(json.dumps(value, indent=2))
        return
    say(f"{paths.plan}\nnext: numerai-ray plan {folder}")


def _newest(root: Path) -> str:
    found, note = newest_known(root)
    if note is not None:
        say(f"note: {note}", err=True)
    return found


def _check_flags(interview: Interview, dimensions: Any) -> None:
    """Refuse a flag before anything is asked: an answer is not lost to it."""
    given = {flag: value for flag, value in interview.given.items() if value is not None}
    quiet = Interview(
        interview.folder, interview.root, {"--idea": NOT_YET, "--novelty": NOT_YET, **given}, interview.version
    )
    paths = ExperimentPaths(interview.folder)
    _write(paths, _answers(quiet, dimensions))
    _unwrite(paths)


def _write(paths: ExperimentPaths, answers: Answers) -> None:
    write_text(paths.plan, plan_text(answers))
    try:
        load_plan(paths.plan, lambda sort, name: find_shipped(sort, name, paths.root))
    except BaseException:
        _unwrite(paths)
        raise


def _unwrite(paths: ExperimentPaths) -> None:
    paths.plan.unlink()
    if not any(paths.root.iterdir()):
        paths.root.rmdir()


def _answers(ask: Interview, dimensions: Any) -> Answers:
    """Every answer in its turn; later ones are offered what earlier ones left to choose from."""
    folder = ask.folder
    idea = ask.answer("--idea", "Idea: what should help, and why?", _sentence)
    novelty = ask.answer("--novelty", "Novelty: what has nobody tried yet?", _sentence)
    known_kinds = [f"{each}: {ABOUT[each]}" for each in SPACES]
    kind = ask.answer("--kind", "Kind of research", _one_of("kind of research", SPACES), "hyperparameters", known_kinds)
    found = next(each for each in get_args(Kind) if each == kind)
    space = SPACES[found][0]
    if not dimensions or ask.given.get("--space") is not None:
        listed = [_line("search_spaces", each, folder) for each in SPACES[found]]
        every = names_of("search_spaces", folder)
        space = ask.answer("--space", "Search space", _one_of("search_space", every), space, listed)
    baselines = names_of("baselines", folder)
    listed = [_line("baselines", each, folder) for each in baselines]
    baseline = ask.answer("--baseline", "Baseline", _one_of("baseline", baselines), DEFAULT_BASELINE, listed)
    own = baseline_data(baseline, folder)
    there = versions(ask.root)
    given = own.get("version") or ask.given.get("--data-version")  # neither asks Numerai
    usual = str(given or ask.version())
    version = ask.answer("--data-version", "Data version", _plain_name, usual, [f"{each}: is here" for each in there])
    if there and version not in there and ask.all_of_it:
        say(
            f"note: {ask.root} has no {version} yet; `numerai-ray data download --version {version}` brings it",
            err=True,
        )
    choices = version_choices(ask.root, version)
    sets = [f"{name}: {count:,} features" for name, count in choices.feature_sets.items()]
    feature_set = ask.answer(
        "--feature-set",
        "Feature set to scout on",
        _one_of("feature set", choices.feature_sets) if choices.feature_sets else _plain_name,
        "medium",
        sets,
    )
    own_target = own.get("target")
    usual_target = own_target if isinstance(own_target, str) else "target_ender_20"
    check = _one_of("target", choices.targets) if choices.targets else _plain_name
    target = ask.answer("--target", "Target that is learned", check, usual_target, choices.targets)
    return Answers(
        name=folder.name,
        idea=idea,
        novelty=novelty,
        baseline=baseline,
        kind=found,
        space=space,
        feature_set=feature_set,
        data_version=version if version != own.get("version") or ask.given.get("--data-version") else None,
        dimensions=dimensions,
        target=target if target != usual_target else None,
        editor=editor_line("plan", folder),
    )


def _line(kind: str, name: str, folder: Path) -> str:
    told = told_of(kind, name, folder)
    return f"{name}: {told}" if told else name


def _again(check: Callable[[str], str], text: str) -> str:
    """An answer, or a reason to ask again."""
    try:
        return check(text.strip())
    except RequestError as error:
        raise typer.BadParameter(str(error)) from None


def _one_of(what: str, known: Any) -> Callable[[str], str]:
    def check(answer: str) -> str:
        if answer not in known:
            raise RequestError(f"no {what} named {answer!r}{nearest(answer, known)}")
        return answer

    return check


def _plain_name(answer: str) -> str:
    from numerai_ray.config.validation import Name

    return _valid(Name, answer)


def _sentence(answer: str) -> str:
    return _valid(Sentence, answer)


def _valid(kind: Any, answer: str) -> str:
    try:
        return str(TypeAdapter(kind).validate_python(answer))
    except ValidationError as error:
        raise RequestError(f"{error.errors()[0]['msg']}, but {answer!r} has {len(answer)}") from None
