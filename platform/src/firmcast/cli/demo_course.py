"""What `firmcast demo` does from its beginning to its end, and what it says of it."""

import asyncio
import json
import signal
from pathlib import Path

from rich.console import Console

from firmcast.cli.connection import ADMIN_TOKEN_FILE, RUNNING_FILE
from firmcast.cli.demo_display import JsonDisplay, LiveDisplay
from firmcast.cli.demo_run import Demo, DemoPlan
from firmcast.cli.demo_story import DemoStory
from firmcast.cli.failures import errors, fail
from firmcast_sdk import ClientError


async def run_demo(plan: DemoPlan, *, keep: bool, as_json: bool) -> int:
    """Run the demo and return the status to end with; with `keep` wait until interrupted before the platform ends.

    Raises:
        CommandError: the platform refuses what it should not.
    """
    story = DemoStory()
    run = Demo(plan, story, JsonDisplay() if as_json else LiveDisplay(story))
    try:
        await run.prepare()
        summary = await run.upgrade()
        if keep:
            await _keep(run, plan.folder / "platform")
    except (ClientError, TimeoutError) as error:
        raise fail(str(error) or "the devices did not register in time") from error
    finally:
        await run.close()
    return _verdict(story, summary)


def _verdict(story: DemoStory, summary: dict[str, int]) -> int:
    for device in story.unexpected:
        reached = " → ".join(device.steps) or "nothing received"
        outcome = f"{device.status} {device.description}" if device.ended else f"no result in time ({reached})"
        errors.print(f"[bold red]error:[/] {device.endpoint_name}: expected {device.expected}, got {outcome}")
    for word in ("lost", "out_of_order"):
        if summary[word]:
            errors.print(f"[bold red]error:[/] {summary[word]} pushes {word.replace('_', ' ')}")
    return 1 if story.unexpected or summary["lost"] or summary["out_of_order"] else 0


async def _keep(run: Demo, data: Path) -> None:
    """Say how to look at the platform, and wait."""
    (data / RUNNING_FILE).write_text(json.dumps(run.platform.running.as_dict()))
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("\nThe platform goes on running. In another terminal:")
    console.print(f"  export FIRMCAST_DATA={data}", markup=False)
    console.print(f"  export FIRMCAST_APP_ID={run.application_id} FIRMCAST_APP_SECRET={run.secret}", markup=False)
    console.print("  firmcast upgrade list; firmcast device list; firmcast push log", markup=False)
    console.print(
        f"  curl --cacert {run.platform.running.authority} {run.platform.running.url}/v1/readiness", markup=False
    )
    console.print(f"[dim]The administrator's token is in {data / ADMIN_TOKEN_FILE}. Ctrl-C ends it.[/]")
    interrupted = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    await interrupted.wait()
