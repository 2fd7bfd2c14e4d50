//! `flowcell serve`: starts the server, says where it is, ends it well.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use flowcell_sandbox::egress::address::{Overlap, metadata_in};
use ipnet::IpNet;
use serde_json::json;

use crate::assemble::{self, Running};
use crate::cli::output::{Output, Style};
use crate::cli::{Failure, Global};
use crate::config::{Config, Environment};
use crate::connections::keys::Unreadable;

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    listen: Option<SocketAddr>,
    /// An address range that plugins may reach although it is not public, such as 10.1.2.0/24
    #[arg(long, value_name = "CIDR", value_parser = range)]
    egress_allow: Vec<IpNet>,
    /// The configuration file; `flowcell config default` prints one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder with plugins (*.wasm)
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    /// Start without the secrets that the secrets key does not open; their connections need new ones then
    #[arg(long)]
    give_up_secrets: bool,
    /// What is logged: error, warn, info, debug, trace [default: FLOWCELL_LOG, or `log` in the configuration]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

/// Reads `--listen`.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.rsplit_once(':').map_or("", |(_, port)| port);
        let port = port.parse::<u16>().unwrap_or(8080);
        format!("`{text}` is not ADDRESS:PORT with a numeric address; write 127.0.0.1:{port}")
    })
}

/// Reads `--egress-allow`.
fn range(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return Err(format!("`{text}` lacks its length; for one address write {text}/{bits}"));
    }
    let range: IpNet = text
        .parse()
        .map_err(|_| format!("`{text}` is no range of addresses; write one as 10.1.2.0/24 or fd00::/64"))?;
    if metadata_in(&range) == Overlap::Whole {
        return Err(format!("`{text}` is a cloud's metadata service; it can never be opened. Leave it out"));
    }
    Ok(range)
}

pub(crate) fn run(args: Serve, global: &Global, environment: &Environment, output: &mut Output) -> Result<(), Failure> {
    let Some(data) = global.data.clone() else {
        let missing = "the server needs a data directory: --data DIR (it is created when it is not there)";
        return Err(Failure::Usage(missing.to_owned()));
    };
    let mut config = match &args.config {
        Some(file) => Config::load(file).map_err(anyhow::Error::from)?,
        None => Config::default(),
    };
    config.listen = args.listen.unwrap_or(config.listen);
    config.egress.allow.extend(args.egress_allow);
    config.plugins.folders.extend(args.plugins);
    if let Some(log) = args.log.or_else(|| environment.log.clone()) {
        config.log = log;
    }
    start_logging(&config.log, environment)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from)?;
    runtime.block_on(async {
        let unreadable = if args.give_up_secrets { Unreadable::GiveUp } else { Unreadable::Refuse };
        let running = assemble::start(&config, &data, unreadable).await?;
        greet(&running, &config, output);
        running.until_stopped().await
    })?;
    Ok(())
}

const LOG_LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Lines go to standard error; what a program may read stays alone on standard output.
fn start_logging(directives: &str, environment: &Environment) -> Result<(), Failure> {
    use std::io::IsTerminal;
    // A single word that is no level would be read as the name of a module, and everything else fall silent.
    let is_level = LOG_LEVELS.iter().any(|level| level.eq_ignore_ascii_case(directives.trim()));
    if !is_level && !directives.contains(['=', ',']) {
        return Err(Failure::Usage(format!(
            "`{directives}` says not what to log: it is none of {}",
            LOG_LEVELS.join(", ")
        )));
    }
    let filter = tracing_subscriber::EnvFilter::try_new(directives).map_err(|error| {
        Failure::Usage(format!("`{directives}` says not what to log: {error}. Try `info` or `debug`"))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!environment.no_color && std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}

/// Says where the server is and what it has.
fn greet(running: &Running, config: &Config, output: &Output) {
    if output.is_json() {
        output.document(&json!({
            "url": running.url, "data": running.data, "admin_token_file": running.token_file,
            "plugins": running.plugins, "egress_allow": config.egress.allow,
        }));
        return;
    }
    let label = |text: &str| output.paint(Style::Faint, format!("{text:<9}"));
    output.line("");
    output.line(format!("  {} {}", output.paint(Style::Strong, "Flowcell"), env!("CARGO_PKG_VERSION")));
    output.line("");
    output.line(format!("  {}{}", label("url"), output.paint(Style::Good, &running.url)));
    output.line(format!("  {}{}", label("data"), running.data.display()));
    output.line(format!("  {}{}", label("token"), running.token_file.display()));
    if running.plugins.is_empty() {
        output.line(format!(
            "  {}none: this binary was built without them; `cargo xtask build` builds both",
            label("plugins")
        ));
    }
    for (index, plugin) in running.plugins.iter().enumerate() {
        output.line(format!("  {}{plugin}", label(if index == 0 { "plugins" } else { "" })));
    }
    for (index, range) in config.egress.allow.iter().enumerate() {
        let what = output.paint(Style::Warn, range);
        let except = if metadata_in(range) == Overlap::None { "" } else { " (metadata services excepted)" };
        output.line(format!("  {}plugins may reach {what}{except}", label(if index == 0 { "egress" } else { "" })));
    }
    output.line("");
    for problem in &running.plugin_problems {
        output.warning(problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ranges_say_what_to_write_instead() {
        assert_eq!(
            address("localhost:9000").unwrap_err(),
            "`localhost:9000` is not ADDRESS:PORT with a numeric address; write 127.0.0.1:9000"
        );
        assert!(address("localhost").unwrap_err().ends_with("write 127.0.0.1:8080"));
        assert_eq!(address("127.0.0.1:0"), Ok(SocketAddr::from(([127, 0, 0, 1], 0))));
        for (text, words) in [
            ("127.0.0.1", "`127.0.0.1` lacks its length; for one address write 127.0.0.1/32"),
            ("::1", "`::1` lacks its length; for one address write ::1/128"),
            ("10.0.0.0/40", "`10.0.0.0/40` is no range of addresses; write one as 10.1.2.0/24 or fd00::/64"),
            (
                "169.254.169.254/32",
                "`169.254.169.254/32` is a cloud's metadata service; it can never be opened. Leave it out",
            ),
        ] {
            assert_eq!(range(text).unwrap_err(), words);
        }
        assert!(range("169.254.0.0/16").is_ok(), "the rest of it may be meant");
    }

    #[test]
    fn a_level_that_is_none_is_refused_instead_of_silencing_the_server() {
        for nonsense in ["nonsense", "", "inf", "flowcell"] {
            let refused = start_logging(nonsense, &Environment::default());
            assert!(
                matches!(&refused, Err(Failure::Usage(message)) if message.contains("error, warn, info, debug, trace")),
                "{nonsense}"
            );
        }
    }
}
