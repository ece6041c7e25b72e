//! `bowline agent list` and `runs`.

use bowline_events::Timestamp;
use bowline_runtime::{AgentConfig, Sources};
use serde::Serialize;

use super::args::{AgentRunsArgs, ListArgs};
use super::place::{Place, settings};
use crate::bus::note;
use crate::colour::shown;
use crate::json;
use crate::outcome::{Failure, Outcome};
use crate::output;
use crate::runs;
use crate::table;

/// An agent in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    models: Vec<String>,
    mcp: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_steps: Option<u32>,
}

impl<'a> Line<'a> {
    fn of(id: &'a str, agent: &'a AgentConfig) -> Self {
        Self {
            id,
            name: agent.name.as_deref(),
            description: agent.description.as_deref(),
            models: agent.models.iter().map(ToString::to_string).collect(),
            mcp: agent.mcp.iter().map(|it| it.place.to_string()).collect(),
            max_steps: agent.max_steps,
        }
    }
}

/// The agents that the file declares.
pub(super) fn agents(args: &ListArgs) -> Result<Outcome, Failure> {
    let settings = Sources::of_process().file(args.config.as_deref()).load()?;
    let agents = settings.agents();
    if agents.is_empty() {
        note(
            "the configuration declares no agents; write [agents.NAME] with a model into bowline.toml",
        );
    }
    let lines = agents.iter().map(|(id, agent)| Line::of(id, agent));
    let mut text = Vec::new();
    if args.json {
        for line in lines {
            json::line(&line, &mut text)?;
        }
    } else if !agents.is_empty() {
        let mut rows = vec![["ID", "MODEL", "TOOLS FROM", "DESCRIPTION"].map(str::to_owned)];
        rows.extend(lines.map(|line| {
            let or_none = |text: String| match text.is_empty() {
                true => "-".to_owned(),
                false => shown(&text),
            };
            [
                shown(line.id),
                or_none(line.models.join(", ")),
                or_none(line.mcp.join(", ")),
                or_none(line.description.unwrap_or_default().to_owned()),
            ]
        }));
        text = table::align(&rows).into_bytes();
    }
    output::print(&String::from_utf8_lossy(&text))?;
    Ok(Outcome::Done)
}

/// The runs of an agent.
pub(super) async fn runs(args: AgentRunsArgs) -> Result<Outcome, Failure> {
    let now = Timestamp::now();
    let place = Place::to_look(&settings(&args.filter.store)?).await?;
    let query = args.filter.query(now);
    let page = place.runs().list(&args.agent, query).await?;
    runs::print(&page, &args.filter, now).await?;
    place.close().await?;
    Ok(Outcome::Done)
}
