use clap::CommandFactory;

use super::*;

fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from([&["flowcell"], words].concat())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_documented_commands_parse() {
    for line in [
        "serve --data d --listen 127.0.0.1:0 --egress-allow 127.0.0.1/32 --egress-allow ::1/128 --plugins p --config c",
        "check a.yaml b.yaml --plugins p --server http://127.0.0.1:1 --data d",
        "workflow apply f.yaml --draft --json",
        "workflow list --server https://flowcell.example.com --token t",
        "workflow show id --at 3",
        "run list --workflow w --status failed --limit 5",
        "run show run_x --wait --timeout 5 --json",
        "run list --step send --error http-status --from 2026-01-01T00:00:00Z --field trigger.body.a=b --all",
        "run pin run_x",
        "run unpin run_x --json",
        "logs -f",
        "logs --follow --workflow w --json",
        "logs --run run_x",
        "workflow start w --input f.json --wait --timeout 5 --json",
        "run cancel run_x --reason enough",
        "run decide run_x send[3.1] --happened --output f.json",
        "run decide run_x send --repeat",
        "event send order.paid --payload -",
        "trigger show w",
        "plugin list",
        "connection add crm --kind bearer --host https://a.example --plugin acme/crm --secret-file -",
        "connection add crm --kind api-key --query key --secret-env KEY --note n",
        "connection add hooks --kind standard-webhooks --plugin flowcell/webhook",
        "connection list --json",
        "connection show crm",
        "connection test crm --url https://a.example/me --method HEAD",
        "connection rotate crm --secret-file f --overlap 12h --host https://b.example",
        "connection rotate hooks --generate",
        "connection edit crm --note n",
        "connection allow crm acme/crm --revoke",
        "connection usage crm",
        "connection remove crm --yes",
        "secrets new-key",
        "secrets rotate-key",
        "plugin release sha256:ab",
        "plugin inspect f.wasm --json",
        "plugin build dir -o f.wasm",
        "config default",
        "schema",
        "__compile x",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        assert!(parse(&words).is_ok(), "{line}: {:?}", parse(&words).err().map(|error| error.to_string()));
    }
}

#[test]
fn what_cannot_be_meant_is_refused_as_usage() {
    for line in [
        "",
        "serve --listen localhost",
        "serve --egress-allow 10.0.0.0/40",
        "check",
        "run list --limit 0",
        "run list --limit 1001",
        "logs",
        "logs -f --run run_x --workflow w",
        "run list --status asleep",
        "run decide run_x send",
        "run decide run_x send --repeat --happened",
        "nonsense",
        "connection add crm --kind telepathy",
        "connection add crm --kind api-key --header a --query b",
        "connection rotate crm --generate --secret-file f",
        "connection rotate crm --overlap soon",
    ] {
        let words: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).collect();
        assert_eq!(parse(&words).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn errors_name_their_causes_once() {
    let error = anyhow::Error::from(std::io::Error::other("disk on fire")).context("the file cannot be read");
    assert_eq!(chain(&error), "the file cannot be read: disk on fire");
    let repeated = anyhow::anyhow!("disk on fire").context("it failed: disk on fire");
    assert_eq!(chain(&repeated), "it failed: disk on fire");
}

#[test]
fn every_failure_has_a_title_and_a_detail_for_programs() {
    let document = crate::http::problem::Problem::new(crate::http::problem::Kind::NotFound, "no run").document(None);
    for failure in [
        Failure::Usage("no".into()),
        Failure::Client(ClientError::Unreachable { server: "s".into(), reason: "r".into() }),
        Failure::Client(ClientError::Foreign { server: "s".into(), status: http::StatusCode::OK }),
        Failure::Client(ClientError::Problem(Box::new(document))),
        Failure::Other(anyhow::anyhow!("disk on fire")),
    ] {
        let document = failure_document(&failure).unwrap();
        for member in ["title", "detail"] {
            assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{failure:?}: {document}");
        }
    }
    assert_eq!(failure_document(&Failure::Reported), None, "it is printed already");
}
