"""The settings of a run as values: the engine, the judge, sampling, voting, and bounds on spending.

    JudgingSettings(
        engine=EngineSettings(model="judge-7b", base_url="http://localhost:8000/v1"),
        voting=VotingSettings(votes=8),
        sampling=SamplingSettings(temperature=0.8),
        bounds=BoundSettings(max_cost=5.0),
    )

`fathom.judging.session.Session` runs with these settings. The command line derives its options from the same fields,
and their help from the fields' documentation, so runs from Python and from the shell take the same values. This module
only validates values: it opens no model and reads no file, except that of `JudgeSettings.rubric` when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from fathom.errors import FathomError

Aggregate = Literal["majority", "sum", "mean", "probability"]
"""What a rule aggregates for a response: its votes, the sum or mean of its scores, or its mean probability."""
Invalid = Literal["drop", "require"]
"""How unparsed votes are treated: `drop` ignores them; `require` gives no verdict unless every vote was parsed."""
StepReduction = Literal["min", "prod", "last", "mean", "geometric_mean", "max", "mean_log_odds"]
"""How step scores become the score of a response."""
Splitter = Literal["paragraphs", "numbered", "sentences", "lines", "thinking"]
"""How a response without given steps is split into steps (`fathom.data.steps.split`)."""
Neutral = Literal["good", "bad", "unknown"]
"""What a neutral rating of a step means: right, wrong, or a step without a label."""
Ties = Literal["count", "drop"]
"""How votes for a tie are treated in a majority: `count` lets a tie win; `drop` treats them as abstentions."""

MAX_VOTES = 10_000
"""The maximum number of votes on one comparison. A larger number is assumed to be a typing error."""
MAX_COUNT = 2**31 - 1
"""The maximum number of rows or tokens in a setting."""


class Settings(BaseModel):
    """Base class of settings: frozen; unknown names, infinity and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    panel: ClassVar[str] = ""
    """The heading of the options in `--help`."""
    flags: ClassVar[Mapping[str, str]] = {}
    """Option names that differ from their field's name, by field."""


def _votes(value: Any) -> Any:
    if value == "adaptive":
        return value
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if type(number) is not int or not 1 <= number <= MAX_VOTES:
        raise ValueError(f"{value!r}: expected a number from 1 to {MAX_VOTES}, or adaptive")
    return number


def _keep(value: Any) -> Any:
    """An integer is a number of votes, a decimal a share: `1` keeps one vote, `1.0` keeps all."""
    if value is None:
        return None
    try:
        number = (int(value) if value.isdecimal() else float(value)) if isinstance(value, str) else value
    except ValueError:
        number = 0
    in_range = 0 < number <= 1 if isinstance(number, float) else number >= 1
    if not in_range:
        raise ValueError(f"{value!r}: expected a share above 0.0 and up to 1.0, or a number from 1")
    return number


class EngineSettings(Settings):
    """The model, and the engine that runs it."""

    panel = "Engine"
    flags = {"options": "engine_option"}

    model: str | None = None
    """The model: a checkpoint's folder, a name on the hub or the server, mini, or a journal to replay."""
    engine: str | None = None
    """The engine: local, openai for a server, scores for a server that scores given texts, vllm, masked for a masked
    language model, replay for a journal, or your own as MODULE:NAME or FILE.py.
    Default: local, or openai with --base-url."""
    base_url: str | None = None
    """(openai, scores) The server's address, as in http://localhost:8000/v1; separate replicas by commas."""
    options: dict[str, Any] = {}
    """Any other setting of the engine, as NAME=VALUE in YAML: concurrency=256, timeout=60, ..."""
    hedge: bool | None = None
    """(openai, scores) Send a second request for unusually slow calls, at most 2 % of all. Default: yes."""
    device: str | None = None
    """(local) The device: auto, cpu, cuda, cuda:1, ..."""
    dtype: str | None = None
    """(local) The precision: auto, float32, bfloat16, ..."""
    max_batch_tokens: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    """(local) Maximum tokens per batch; lower it if memory runs out."""
    journal: Path | None = None
    """Store finished completions in this file. Default: a file beside the output; memory for fathom serve."""

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.base_url is not None and self.engine not in (None, "openai", "scores"):
            raise ValueError(
                f"--base-url needs --engine openai or scores, got --engine {self.engine}; leave one of them out"
            )
        return self

    @property
    def name(self) -> str:
        """The engine's name: `engine` if set, else openai with a `base_url`, else local."""
        return self.engine or ("local" if self.base_url is None else "openai")

    @property
    def addresses(self) -> list[str]:
        """The addresses in `base_url`."""
        return [each.strip() for each in (self.base_url or "").split(",") if each.strip()]

    @property
    def arguments(self) -> dict[str, Any]:
        """The engine's arguments besides the model: only those that were set."""
        values = {name: getattr(self, name) for name in ("base_url", "hedge", "device", "dtype", "max_batch_tokens")}
        return {name: value for name, value in values.items() if value is not None} | self.options


class BoundSettings(Settings):
    """Limits on spending. A run stops before a call that could exceed a bound; finished completions are kept."""

    panel = "Bounds"

    max_cost: float | None = Field(default=None, ge=0)
    """Stop before the cost exceeds this many US dollars."""
    max_total_tokens: int | None = Field(default=None, ge=0, le=MAX_COUNT)
    """Stop before prompt and completion tokens exceed this total."""
    prices: Path | None = None
    """YAML file of prices, MODEL: {prompt: 2.50, completion: 10.00}, in US dollars per million tokens."""


class SamplingSettings(Settings):
    """How completions are sampled."""

    panel = "Sampling"

    temperature: float = Field(default=0.0, ge=0, le=2)
    """Sampling temperature; 0 is greedy decoding."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Sample from the most probable tokens with this total probability. Default: the judge's own, 1 for most."""
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    """Maximum tokens per completion. Default: the judge's own, 1 for yes_no and 2048 for most."""
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
    """Seed of sampling, and of the order of chosen and rejected."""


class JudgeSettings(Settings):
    """The judge; by default that of the checkpoint."""

    panel = "Judge"
    flags = {"options": "judge_option"}

    judge: str | None = None
    """A judge's name (docs/judges.md). Default: the checkpoint's own, or mix."""
    style: Literal["vanilla", "breadth", "depth", "mix", "hybrid"] | None = None
    """The structure of the rationale. Default: the checkpoint's own, or mix."""
    prompt: Literal["trained", "instruct"] | None = None
    """The short prompt of training, or full instructions. Default: trained for checkpoints of fathom train."""
    rubric: Path | None = None
    """A text file with your own criteria, placed before the judge's prompt."""
    unsafe_code: bool = False
    """Run programs that a model wrote without a sandbox if this system offers none (docs/sandbox.md)."""
    options: dict[str, Any] = {}
    """Any other setting of the judge, as NAME=VALUE in YAML, such as binary=true."""

    @field_validator("options")
    @classmethod
    def _of_the_judge(cls, options: dict[str, Any]) -> dict[str, Any]:
        elsewhere = {"name": "--judge", "engine": "--engine", "sampling": "--temperature, --max-tokens and --seed"}
        for name in options.keys() & elsewhere:
            raise ValueError(f"{name} is set by {elsewhere[name]}; leave it out here")
        return options

    @model_validator(mode="after")
    def _one_rubric(self) -> Self:
        if self.rubric is not None and "rubric" in self.options:
            raise ValueError(f"--rubric {self.rubric} and --judge-option rubric=... both give criteria; give one")
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """The judge's arguments: only those that were set.

        Raises FathomError if the rubric file cannot be read or is empty.
        """
        trained = None if self.prompt is None else self.prompt == "trained"
        rubric = None if self.rubric is None else _criteria(self.rubric)
        unsafe = self.unsafe_code or None
        values = {"name": self.judge, "style": self.style, "trained": trained, "rubric": rubric, "unsafe_code": unsafe}
        return {name: value for name, value in values.items() if value is not None} | self.options


def _criteria(path: Path) -> str:
    expected = "expected a text file with criteria to judge by"
    if not path.is_file():
        raise FathomError(f"--rubric {path}: {'not a regular file' if path.exists() else 'no such file'}; {expected}")
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as error:
        raise FathomError(f"--rubric {path}: cannot be read: {error}; {expected}") from None
    if not text:
        raise FathomError(f"--rubric {path}: is empty; {expected}")
    return text


class VotingSettings(Settings):
    """The number of votes per comparison, and how they become a verdict."""

    panel = "Votes"

    votes: Annotated[
        PositiveInt | Literal["adaptive"],
        BeforeValidator(_votes),
        Field(json_schema_extra={"metavar": "NUMBER|adaptive"}),
    ] = 1
    """Votes per comparison or pair, in each order; or adaptive, to vote until the outcome is settled."""
    max_votes: int | None = Field(default=None, ge=1, le=MAX_VOTES)
    """(adaptive) Maximum votes in each order. Default: 32."""
    vote_error: float | None = Field(default=None, ge=0, lt=1)
    """(adaptive) Accepted probability that the maximum number of votes would give another verdict. Default: 0.03."""
    meta: Path | None = None
    """A meta reward model (fathom train meta) that selects the votes that count."""
    keep: Annotated[
        int | float | None, BeforeValidator(_keep), Field(json_schema_extra={"metavar": "SHARE|NUMBER"})
    ] = None
    """(meta) How many votes count: a share, such as 0.5, or a number, such as 16. Default: 0.5."""
    swap: bool = True
    """Judge pairs in both orders, and lists in a new order for every vote."""
    aggregate: Aggregate | None = None
    """Combine votes by majority, by their scores, or by the probability of the verdict. Default: the judge's own."""
    step_reduction: StepReduction | None = None
    """(judges that score steps) How step scores become the score of a response. Default: the judge's own."""
    invalid_votes: Invalid = "drop"
    """If votes cannot be parsed: drop counts the others, require gives no verdict."""
    tie_votes: Ties = "count"
    """(majority) Votes for a tie: count lets ties win, drop treats them as abstentions."""

    @model_validator(mode="after")
    def _all_in_use(self) -> Self:
        adaptive = "--votes adaptive", self.votes == "adaptive"
        needs = {"max_votes": adaptive, "vote_error": adaptive, "keep": ("--meta", self.meta is not None)}
        for name, (needed, given) in needs.items():
            value = getattr(self, name)
            if value is not None and not given:
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} {value} has no effect without {needed}; give both or neither")
        if self.votes == "adaptive" and self.meta:
            raise ValueError("--meta selects from a fixed number of votes; got --votes adaptive, expected a number")
        return self

    @property
    def most(self) -> int:
        """The maximum number of votes in each order of the responses."""
        return (self.max_votes or 32) if self.votes == "adaptive" else self.votes

    @property
    def error(self) -> float:
        """The accepted probability that adaptive voting stops at a verdict that differs from that of all votes."""
        return 0.03 if self.vote_error is None else self.vote_error

    @property
    def kept(self) -> int | float:
        """How many votes a meta reward model keeps: a share, or a number."""
        return 0.5 if self.keep is None else self.keep


class SourceSettings(Settings):
    """How comparisons are read from a file."""

    panel = "Source"

    map: list[str] = []
    """FIELD=COLUMN, for columns that are not recognized by name."""
    on_error: Literal["stop", "skip"] = "stop"
    """Stop at a row that cannot be read, or skip it."""
    limit: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    """Read at most this many rows."""
    neutral: Neutral | None = None
    """(PRM800K) Whether a step rated neutral is right, wrong or without a label; required for this layout."""


class SynthesisSettings(Settings):
    """The training sets of `fathom synth`."""

    panel = "Synthesis"
    flags = {"arms": "arm"}

    arms: list[str] = ["mix"]
    """mix, breadth, depth or vanilla; repeat for several, which share the samples. verifier cannot be combined."""
    samples: int = Field(default=2, ge=1, le=1000)
    """Vanilla rationales per comparison."""
    keep: int = Field(default=10, ge=1, le=1000)
    """Maximum principles of a breadth rationale."""
    standardise: Literal["auto", "llm"] = "auto"
    """How to split rationales into principles: llm calls the teacher, auto only if parsing fails."""
    merge: Literal["similarity", "llm"] = "similarity"
    """How to merge principles with the same meaning."""
    filter: Literal["none", "consistent"] = "none"
    """none keeps all rationales; consistent drops those whose verdict differs from the label."""
    domain: Literal["preference", "correctness", "auto"] | None = None
    """Domain of rows without one; auto means correctness if there is a reference answer, else preference."""
    show_reference: bool = False
    """Show reference answers in the teacher's prompts and the training prompts. The paper's teacher sees none."""
    concurrency: int = Field(default=64, ge=1, le=100_000)
    """Maximum requests in flight."""
    truncated: float | None = Field(default=None, ge=0, le=0.9)
    """(verifier) Share of rows with a truncated solution, labelled NO. Default: 0."""

    @model_validator(mode="after")
    def _one_kind_of_arm(self) -> Self:
        if "verifier" in self.arms and not self.for_verifier:
            raise ValueError(
                "--arm verifier calls no teacher and cannot be combined with other arms; run it separately"
            )
        if self.truncated is not None and not self.for_verifier:
            raise ValueError(f"--truncated {self.truncated} has no effect without --arm verifier; give both or neither")
        return self

    @property
    def for_verifier(self) -> bool:
        """Whether to make the training set of a verifier, which calls no teacher."""
        return set(self.arms) == {"verifier"}


class RejectionSettings(Settings):
    """The trajectories of `fathom rejection-sample`."""

    panel = "Rejection sampling"

    samples: int = Field(default=3, ge=2, le=MAX_VOTES)
    """Trajectories without a hint per comparison."""
    hints: bool = True
    """Also sample one trajectory with a hint that names the best response."""
    easy: bool = False
    """Keep the trajectories of a comparison that every sample gets right; SPCT rejects them."""
    balance: bool = False
    """(single responses) Keep as many trajectories on right as on wrong responses, as ThinkPRM does."""
    concurrency: int = Field(default=64, ge=1, le=100_000)
    """Maximum comparisons in progress."""


class LabelSettings(Settings):
    """How `fathom label` samples, checks and combines."""

    panel = "Labels"
    flags = {"options": "method_option"}

    options: dict[str, Any] = {}
    """Any option of the method, as NAME=VALUE in YAML, such as rollouts=16; see docs/process.md."""
    checker: str = "math"
    """How final answers are compared with the reference: math (math-verify), exact (equal spelling), unit-tests (the
    reference has the tests of a program), or your own function as MODULE:NAME or FILE.py:NAME."""
    split: Splitter = "paragraphs"
    """How to split rollouts, and responses that have no steps."""
    instruction: str = r"Please reason step by step, and put your final answer within \boxed{}."
    """Added to each problem in the prompt of rollouts; empty for none."""
    merge: float = Field(default=0.0, ge=0, le=1)
    """For this share of the labelled solutions, also write a copy with two consecutive steps merged."""
    concurrency: int = Field(default=64, ge=1, le=100_000)
    """Maximum problems in progress."""


class RewardSettings(Settings):
    """How verdicts become the rewards of a policy's responses."""

    panel = "Reward"

    reward: Literal["score", "correct"] = "score"
    """The judge's score; or correct: 1 or 0 by the judge's threshold, for judges of single responses."""
    schedule: Literal["round-robin", "circular", "swiss", "knock-out", "pivot"] = "round-robin"
    """(judges of pairs) Which pairs of the responses to one prompt are judged; see docs/ranking.md."""
    reduce: Literal["borda", "bradley-terry", "wins"] = "borda"
    """(judges of pairs) How outcomes become rewards: borda is the share of the comparisons won, 0 to 1."""


class ServeSettings(Settings):
    """The server of `fathom serve`: its address, its limits, and what it does with what could not be scored."""

    panel = "Server"

    host: str = "127.0.0.1"
    """The address to listen on. Any other than this machine's own needs --token-file."""
    port: int = Field(default=8090, ge=0, le=65_535)
    """The port to listen on; 0 selects a free one."""
    token_file: Path | None = None
    """A file of bearer tokens, one per line. Requests without one of them are refused."""
    window_ms: float = Field(default=200, ge=0, le=600_000)
    """(judges of pairs and lists) How long a response waits for others to the same prompt."""
    group_size: int | None = Field(default=None, ge=1, le=1024)
    """Responses per prompt: a group is judged when it has this many. A request may set its own."""
    unscored: Literal["refuse", "substitute"] = "refuse"
    """For protocols without null: refuse the request, or answer --unscored-reward and count it."""
    unscored_reward: float | None = None
    """(substitute) The reward of a response that could not be scored."""
    partial: Literal["refuse", "accept"] = "refuse"
    """For protocols that cannot mark an incomplete group: its responses count as unscored, or get their rewards."""
    max_requests: int = Field(default=512, ge=1, le=100_000)
    """Maximum requests in progress; more are answered with status 429."""
    client_requests: int = Field(default=256, ge=1, le=100_000)
    """Maximum requests in progress per client."""
    client_rate: float | None = Field(default=None, gt=0)
    """Maximum requests per second and client. Default: no limit."""
    max_body: int = Field(default=8_000_000, ge=1000, le=MAX_COUNT)
    """Maximum bytes of a request."""
    max_batch: int = Field(default=256, ge=1, le=100_000)
    """Maximum comparisons or samples in a request."""
    max_responses: int = Field(default=32, ge=1, le=1024)
    """Maximum responses in a comparison or a group."""
    max_item_tokens: int = Field(default=131_072, ge=1, le=MAX_COUNT)
    """Maximum tokens of a comparison, estimated as one per 3 bytes."""
    cache_mb: int | None = Field(default=None, ge=1, le=MAX_COUNT // 2**20)
    """Megabytes of stored completions; the oldest are deleted. Default: 100 in memory, no limit with --journal."""
    cache_hours: float | None = Field(default=None, gt=0, le=1_000_000)
    """Hours after which stored completions are deleted. Default: no limit."""
    self_test: Literal["warn", "require"] = "warn"
    """(judges with a threshold) If a right or a wrong sum is misjudged at the start: warn, or refuse all requests."""
    deadline: float = Field(default=600, gt=0, le=86_400)
    """Seconds for a judgment. A request may ask for less in the header X-Fathom-Deadline."""
    drain: float = Field(default=30, ge=0, le=86_400)
    """Seconds that requests in progress get to finish after SIGTERM."""
    breaker_share: float = Field(default=0.5, gt=0, le=1)
    """Answer 503 for a while if more than this share of the last 200 judgments could not be scored."""
    breaker_seconds: float = Field(default=30, gt=0, le=86_400)
    """Seconds for which --breaker-share answers 503."""
    verbose: bool = False
    """Log every request, and errors with their tracebacks, which may quote requests."""
    hourly_tokens: int | None = Field(default=None, ge=1)
    """Answer 503 once the calls of the last hour used this many tokens."""
    hourly_cost: float | None = Field(default=None, gt=0)
    """Answer 503 once the calls of the last hour cost this many US dollars."""

    @model_validator(mode="after")
    def _substitute_given(self) -> Self:
        if (self.unscored == "substitute") != (self.unscored_reward is not None):
            raise ValueError(
                "--unscored substitute and --unscored-reward NUMBER need each other: what could not be scored must not "
                "become a number that nobody chose"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in ("127.0.0.1", "::1", "localhost")


class RaySettings(Settings):
    """How a run is spread over many machines."""

    panel = "Many machines"

    ray: bool = False
    """Run on Ray, in shards (docs/ray.md); --out is then a folder, or its address, such as s3://bucket/run."""
    ray_address: str | None = None
    """(ray) The cluster to join, as in auto or ray://HOST:10001. Default: start Ray on this machine."""
    workers: int | None = Field(default=None, ge=1, le=100_000)
    """(ray) Maximum workers. Default: as many as the cluster has CPUs and GPUs for. Each has its own engine."""
    worker_cpus: float = Field(default=1.0, gt=0, le=1024)
    """(ray) CPUs that Ray reserves for a worker."""
    worker_gpus: float = Field(default=0.0, ge=0, le=1024)
    """(ray) GPUs that Ray reserves for a worker, for models in process."""
    shard_rows: int = Field(default=1000, ge=1, le=MAX_COUNT)
    """(ray) Comparisons per shard: what one worker takes at a time, and one part of the results."""

    @model_validator(mode="after")
    def _on_ray(self) -> Self:
        for name, field in type(self).model_fields.items():
            if not self.ray and name != "ray" and getattr(self, name) != field.default:
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} {getattr(self, name)} has no effect without --ray; give both or neither")
        return self


class JudgingSettings(Settings):
    """All settings that determine the verdicts of a run."""

    judge: JudgeSettings = JudgeSettings()
    sampling: SamplingSettings = SamplingSettings()
    voting: VotingSettings = VotingSettings()
    engine: EngineSettings = EngineSettings()
    bounds: BoundSettings = BoundSettings()


def flag_of(kind: type[Settings], field: str) -> str:
    """The field's name as a command-line option, and as a key in the recorded configuration of a run."""
    return kind.flags.get(field, field)


def flatten_settings(settings: Settings) -> dict[str, Any]:
    """All settings, including nested ones, by option name, as a run records them."""
    values: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        values |= flatten_settings(value) if isinstance(value, Settings) else {flag_of(type(settings), name): value}
    return values


def first_problem(error: ValidationError) -> tuple[str, str]:
    """The field that caused a validation error (empty if it concerns several fields), and the message."""
    problem = error.errors(include_url=False)[0]
    field = str(problem["loc"][0]) if problem["loc"] else ""
    message = problem["msg"].removeprefix("Value error, ")
    return field, message
