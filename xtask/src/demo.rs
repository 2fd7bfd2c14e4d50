//! The main job before a newcomer's eyes, with nothing faked but the build server that gets the request.

mod receiver;
mod server;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{guests, shell};
use receiver::Receiver;
use server::Server;

const EXAMPLE: &str = "examples/push-to-build";
/// Where the example's author sends builds; the demo puts its own receiver there.
const AUTHORED_ORIGIN: &str = "https://build.example.com";

pub(crate) fn run(once: bool) -> Result<()> {
    guests::build()?;
    let flowcell = shell::build_flowcell(shell::Profile::Dev)?;

    shell::step("Starting Flowcell on an embedded store");
    let data = shell::target().join("demo");
    let _ = fs::remove_dir_all(&data);
    fs::create_dir_all(&data).with_context(|| format!("{} cannot be created", shell::short(&data)))?;
    let receiver = Receiver::start()?;
    let server = Server::start(&flowcell, &data)?;

    shell::step(&format!("Applying {EXAMPLE}/workflow.yaml"));
    let workflow =
        fs::read_to_string(shell::root().join(EXAMPLE).join("workflow.yaml")).context("the example is missing")?;
    println!("{}", indent(&workflow));
    println!("  For this demo, {AUTHORED_ORIGIN} is a small receiver on this machine: {}", receiver.origin());
    let ours = data.join("workflow.yaml");
    fs::write(&ours, workflow.replace(AUTHORED_ORIGIN, receiver.origin()))?;
    let applied = server.cli(&["workflow", "apply", &ours.to_string_lossy(), "--json"])?;
    let applied: serde_json::Value =
        serde_json::from_str(&applied).context("`workflow apply --json` printed no JSON")?;
    let url = applied
        .pointer("/triggers/0/url")
        .and_then(|url| url.as_str())
        .context("the applied workflow has no trigger URL")?;
    println!("  Its webhook URL is {url}");

    let payload =
        fs::read(shell::root().join(EXAMPLE).join("push.json")).context("the example's payload is missing")?;
    shell::step(&format!("GitHub sends a push ({} kB, {EXAMPLE}/push.json)", payload.len() / 1000));
    let mut response = ureq::post(url)
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .send(&payload[..])
        .context("the webhook was not accepted")?;
    let location = response.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = response.status();
    let answer = response.body_mut().read_to_string()?;
    println!("  {status}: {answer}");
    let run =
        location.as_deref().and_then(|path| path.rsplit('/').next()).context("the answer names no run")?.to_owned();

    shell::step("The build server gets the mapped request");
    match receiver.wait() {
        Some(request) => println!("{}", indent(&request)),
        None => bail!("nothing arrived within 30 seconds; `flowcell run show {run}` says why"),
    }

    shell::step("What the journal says about the run");
    println!("{}", server.cli(&["run", "show", &run, "--wait"])?);

    if once {
        println!("\nDone. `cargo xtask demo` without --once leaves the server running for you to try.");
        return Ok(());
    }
    shell::step(&format!("Flowcell is running at {}", server.origin()));
    println!("  Send another:  curl -H 'content-type: application/json' --data @{EXAMPLE}/push.json {url}");
    println!(
        "  List the runs: {} run list --server {} --data {}",
        shell::short(&flowcell),
        server.origin(),
        shell::short(&data.join("data"))
    );
    println!("  Ctrl-C stops it.");
    server.wait()
}

fn indent(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("  │ {line}")).collect::<Vec<_>>().join("\n")
}
