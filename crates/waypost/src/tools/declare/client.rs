//! Tools that the client runs, and whose form is fixed.

use serde_json::{Value, json};

use super::{Result, allowed_callers};
use crate::{
    http::fields::{Fields, bad_word, missing, unsupported},
    model::ClientTool,
};

/// Skills of a shell.
const MAX_SKILLS: usize = 200;
/// Characters of a skill's name, description or path.
const MAX_SKILL: usize = 4096;

/// A tool whose `type` has been read.
pub(super) fn client(tool: ClientTool, mut fields: Fields<'_>) -> Result<Value> {
    let mut echo = json!({"type": tool.name()});
    if tool == ClientTool::Shell {
        echo["environment"] = environment(&mut fields)?;
    }
    if matches!(tool, ClientTool::Shell | ClientTool::ApplyPatch)
        && let Some(callers) = allowed_callers(&mut fields)?
    {
        echo["allowed_callers"] = json!(callers);
    }
    fields.end()?;
    Ok(echo)
}

/// Where the shell is: with the client. That is also what a shell means that
/// says nothing of it.
fn environment(fields: &mut Fields<'_>) -> Result<Value> {
    let Some(mut environment) = fields.object("environment")? else {
        return Ok(json!({"type": "local"}));
    };
    let path = environment.path("type");
    let kind = environment.string("type")?.ok_or_else(|| missing(&path))?;
    match kind {
        "local" => {}
        "container_auto" | "container_reference" => {
            return Err(unsupported(
                &path,
                "Containers are run by OpenAI's platform; this server has a shell of type 'local', \
                 which the client runs.",
            ));
        }
        other => {
            let known = ["local", "container_auto", "container_reference"];
            return Err(bad_word(&path, other, &known));
        }
    }
    let mut echo = json!({"type": kind});
    let path = environment.path("skills");
    if let Some(skills) = environment.array("skills")? {
        super::at_most(&path, skills.len(), MAX_SKILLS)?;
        let skills = skills.iter().enumerate().map(|(at, skill)| {
            let mut skill = Fields::new(skill, &format!("{path}[{at}]"))?;
            let echo = json!({
                "name": skill.sized_string("name", MAX_SKILL)?,
                "description": skill.required_text("description", MAX_SKILL)?,
                "path": skill.sized_string("path", MAX_SKILL)?,
            });
            skill.end()?;
            Ok(echo)
        });
        echo["skills"] = skills.collect::<Result<Value>>()?;
    }
    environment.end()?;
    Ok(echo)
}
