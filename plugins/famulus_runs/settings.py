"""The limits of runs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from famulus import Settings, setting


class RunSettings(Settings, frozen=True, kw_only=True):
    """Settings of famulus_runs."""

    run_s: Annotated[
        int, setting(why="Seconds until a run expires; OpenAI's runs had ten minutes.")
    ] = 600
    unserved_tools: Annotated[
        Literal["fail", "ignore"],
        setting(
            why="What becomes of a run with a tool, such as file_search, that nobody runs, or on a "
            "thread with messages that files are attached to for one."
        ),
    ] = "fail"
    turns_max: Annotated[
        int, setting(why="Times that a run may ask the model before it fails.")
    ] = 32
    tool_calls_per_turn_max: Annotated[
        int, setting(why="Tool calls of one answer; further ones fail the run.")
    ] = 64
    tool_s: Annotated[
        float,
        setting(
            why="Seconds that one server-run tool call may take; a search may wait for its files "
            "as long as half of that."
        ),
    ] = 120.0
    textual_call_lookahead_chars: Annotated[
        int,
        setting(
            why="How much text is held back until it names a function that it may be a call of, "
            "for models that write tool calls as text; 0 takes no text for a call."
        ),
    ] = 256
    textual_call_chars_max: Annotated[
        int, setting(why="Size of a tool call written as text; a longer one is text.")
    ] = 65_536
    arguments_chars_max: Annotated[
        int,
        setting(why="Size of a call's arguments that are put right where they are no JSON."),
    ] = 65_536
    tool_output_bytes_max: Annotated[
        int, setting(why="Size of one tool output; the rest is cut off, and the model is told.")
    ] = 262_144
    shown_outputs_chars_max: Annotated[
        int, setting(why="How much a step shows of what the code of one call put out.")
    ] = 262_144
    marks_max: Annotated[
        int, setting(why="Marks of a run by which its messages can cite; the newest are kept.")
    ] = 4_096
    sources_max: Annotated[
        int,
        setting(
            why="Passages that a run's tools found and its messages may rest on; the newest are "
            "kept."
        ),
    ] = 100
    runs_at_once_max: Annotated[
        int, setting(why="Runs that are at work at the same time; others stay queued.")
    ] = 256
    forgetting_at_once_max: Annotated[
        int,
        setting(why="Deleted messages that runs forget at the same time; nobody waits."),
    ] = 2
    runs_waiting_max: Annotated[int, setting(why="Queued runs; further ones are answered 503.")] = (
        10_000
    )
    runs_per_thread_waiting_max: Annotated[
        int,
        setting(
            why='Runs that may wait for one thread, with `on_busy = "queue"`; further ones are '
            "answered 429."
        ),
    ] = 64
    attempts_max: Annotated[
        int, setting(why="Workers that may be lost at one run before it fails.")
    ] = 3
    checkpoint_ms: Annotated[
        int, setting(why="How often an open message is stored while it is written.")
    ] = 250
    checkpoint_bytes: Annotated[
        int, setting(why="How much of an open message is written before it is stored again.")
    ] = 4_096
    expiry_poll_s: Annotated[
        float,
        setting(why="How often runs that wait, for tool outputs or their turn, may expire."),
    ] = 1.0
    cancel_s: Annotated[
        float, setting(why="Seconds to wait for another process to cancel a run of its own.")
    ] = 2.0
    prompt_messages_max: Annotated[
        int, setting(why="Messages of a thread that a prompt may hold.")
    ] = 1_000
    prompt_steps_max: Annotated[
        int,
        setting(
            why="The newest steps of a thread whose tool calls and results a prompt may hold; "
            "0 leaves those of earlier runs out."
        ),
    ] = 100
    image_urls: Annotated[
        Literal["fetch", "refuse", "pass"],
        setting(
            why="What becomes of a picture that a user's message gives by an http or https "
            "address. `fetch` has this server fetch it, once for each run, from public hosts "
            "alone, by `[plugins.fetch]`. `pass` has the model's server fetch it: whoever may "
            "create runs can then have that server ask any address that it reaches, so let it only "
            "where it is told which hosts it may ask (vLLM: `--allowed-media-domains`), or can "
            "reach nothing that matters. `refuse` fails the run and says what to do; files and "
            "`data:` URLs are always shown."
        ),
    ] = "fetch"
    images_fetched_at_once: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Pictures of one run that are fetched at the same time."),
    ] = 4
    fetched_images_bytes_max: Annotated[
        int,
        setting(
            why="Memory of this process for pictures that were fetched, so that the next steps of "
            "a run need not fetch them again; the oldest are forgotten first."
        ),
    ] = 134_217_728
    image_pixels_max: Annotated[
        int,
        setting(
            why="Width times height of a picture that is fetched, as its head says it; a small "
            "file can be a huge picture for whoever unpacks it. The default is Pillow's own."
        ),
    ] = 89_478_485
    unseen_images: Annotated[
        Literal["fail", "note"],
        setting(
            why="What becomes of a run that would show pictures to a model that is known to see "
            "none: it fails, or the model is told that there is one."
        ),
    ] = "fail"
    image_bytes_max: Annotated[
        int, setting(why="Size of one picture that is shown; a larger one fails the run.")
    ] = 20_971_520
    prompt_images_max: Annotated[
        int, setting(why="Pictures of one prompt; of older ones the model is told only the place.")
    ] = 50
    prompt_image_bytes_max: Annotated[
        int,
        setting(
            why="Size of the pictures of one prompt together, which are in memory while it is "
            "sent; of older ones the model is told only the place."
        ),
    ] = 52_428_800
    image_tokens: Annotated[
        int,
        setting(
            why="Tokens that a picture is taken for; by OpenAI's rule, which models' own rules are "
            "about, a square one is so many."
        ),
    ] = 765
    image_tokens_low: Annotated[
        int, setting(why='Tokens that a picture with `detail: "low"` is taken for.')
    ] = 85
    context_tokens_default: Annotated[
        int, setting(why="Context taken for a model whose backend does not say.")
    ] = 8_192
    prompts_kept: Annotated[
        bool, setting(why="Whether each step keeps what the model was shown, for `famulus.prompt`.")
    ] = True
    answer_tokens_reserved: Annotated[
        int, setting(why="Tokens kept free for the answer when a thread is cut to fit.")
    ] = 1_024
    poll_after_ms: Annotated[int, setting(why="How soon the SDKs' polling helpers ask again.")] = (
        100
    )
    finish_s: Annotated[
        float, setting(why="Seconds that runs may go on when the server stops.")
    ] = 5.0
