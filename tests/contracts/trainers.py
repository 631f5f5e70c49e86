"""The trainers to which Fathom gives rewards, and what tests each connection: the table in docs/trainers.md.

A connection without a test was written from the trainer's contract, and its own tests imitate the trainer.
"""

from __future__ import annotations

from typing import NamedTuple

PACKAGES = {
    "openrlhf": ["openrlhf==0.11.2"],
    "verl": [
        "verl==0.9.1", "tensordict==0.15.3", "omegaconf==2.4.0", "antlr4-python3-runtime==4.9.3", "pyvers==0.2.3",
        "orjson==3.13.0", "cloudpickle==3.1.2", "codetiming==1.4.0",
    ],
    "ms_swift": ["ms-swift==4.6.0", "dacite==1.9.2", "einops==0.8.2", "json-repair==0.64.6"],
    "areal": ["areal==1.0.4", "colorlog==6.12.0"],
    "skyrl": ["skyrl==0.3.0", "skyrl-gym==0.4.0", "omegaconf==2.4.0", "antlr4-python3-runtime==4.9.3"],
    "verifiers": [
        "verifiers==0.4.0", "anthropic==2.14.0", "distro==1.9.0", "docstring-parser==0.18.0", "httpcore==1.0.9",
        "httpx==0.28.1", "jiter==0.19.0", "openai==2.54.0", "prime-pydantic-config==0.4.3", "renderers==0.1.12",
        "sniffio==1.3.1", "tenacity==9.2.1", "tomli-w==1.2.0",
    ],
}  # fmt: skip
"""What `make contracts` installs without further dependencies, one folder each. The first package is the trainer."""


class Connection(NamedTuple):
    trainer: str
    version: str
    by: str
    """How it is connected, as the page says it."""
    test: str | None = None
    """The test in which the trainer's own code runs; None if there is none."""
    ran: str = "its own client ran"
    stubbed: str | None = None
    """What the trainer imports or calls and the test replaces."""
    shapes: bool = False
    """Whether tests/test_serve_foreign.py sends requests in the shapes of its repository's own files."""

    def evidence(self) -> str:
        """The cell of the table."""
        if self.test is None:
            return "requests in the shapes of its repository's files" if self.shapes else "from the contract only"
        return self.ran if self.stubbed is None else f"{self.ran}; stubbed: {self.stubbed}"


CONNECTIONS = (
    Connection(
        "TRL", "1.16.0", "`fathom.adapters.trl`",
        "test_trl_trains_with_it_and_leaves_out_what_could_not_be_scored", "its own trainer ran",
    ),
    Connection(
        "verl", "0.9.1", "`fathom.adapters.verl`",
        "test_verl_loads_the_function_and_its_managers_log_what_it_returns",
        "its own loader and two managers ran", "`ray`",
    ),
    Connection(
        "verl", "0.9.1", "`fathom.adapters.verl_steps`",
        "test_verl_assembles_the_rewards_of_steps_on_their_last_tokens",
        "its own loader, worker and assembly of rewards ran", "`ray`",
    ),
    Connection(
        "verl", "0.9.1", "`/classify`, as a reward model on vLLM",
        "test_verl_reads_the_server_as_a_reward_model_on_vllm", stubbed="`ray`",
    ),
    Connection(
        "OpenRLHF", "0.11.2", "`/get_reward`", "test_openrlhf_gets_a_reward_from_one_server_and_from_several",
        stubbed="`openrlhf.utils` (deepspeed), the vLLM engine",
    ),
    Connection(
        "OpenRLHF", "0.11.2", "`fathom.adapters.openrlhf`", "test_openrlhf_loads_a_file_with_the_function",
        stubbed="`openrlhf.utils` (deepspeed), the vLLM engine",
    ),
    Connection(
        "ms-swift", "4.6.0", "`fathom.adapters.ms_swift`", "test_ms_swift_loads_a_plug_in_and_computes_its_rewards",
        "its own loader ran, and its rewards of GRPO and sampling", "`modelscope`, `openai`",
    ),
    Connection(
        "SkyRL", "0.3.0", "`fathom.adapters.skyrl`",
        "test_skyrls_generator_puts_the_reward_of_a_turn_on_its_last_token",
        "its own generator ran", "`ray`, `vllm`, `loguru`, `jaxtyping`, the inference engine",
    ),
    Connection(
        "verifiers, prime-rl", "0.4.0", "`fathom.adapters.verifiers`",
        "test_verifiers_scores_a_trace_and_records_the_error_of_one_without_a_score",
        "verifiers' own task scored traces", "`prime_sandboxes`",
    ),
    Connection("slime", "0.3.1", "`fathom.adapters.slime`"),
    Connection("slime", "0.3.1", "`/remote_rm`", shapes=True),
    Connection(
        "AReaL", "1.0.4", "[a function](#areal)", "test_areal_calls_the_function_in_its_processes",
        "its own wrapper of rewards ran", "the package `areal` (its infrastructure)",
    ),
    Connection("ROLL", "0.3.0", "[a worker](#roll)"),
    Connection("NeMo-Gym", "August 2026", "`/verify`, `/compare`, `/aggregate_metrics`", shapes=True),
    Connection("other clients of vLLM", "0.33.0", "`/vllm/...`"),
    Connection("clients of SGLang", "0.5", "`/sglang/...`", shapes=True),
)  # fmt: skip
