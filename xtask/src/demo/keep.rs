//! What to try next, and everything that is needed for it.

use std::path::Path;

use super::stage::Model;
use super::voice;
use super::workload::Ids;
use crate::process;
use crate::terminal::{bold, dim};

/// What runs, and what opens it.
pub struct Kept<'a> {
    pub waypost: &'a str,
    pub issuer: &'a str,
    pub model: &'a Model,
    pub admin_key: &'a str,
    pub ids: &'a Ids,
    pub response: &'a str,
    pub folder: &'a Path,
    pub audience: &'a str,
    pub subject: &'a str,
}

impl Kept<'_> {
    /// Prints it all and waits for Ctrl-C.
    pub fn until_interrupted(&self) -> anyhow::Result<()> {
        let interrupted = process::until_interrupted();
        self.print();
        interrupted.recv()?;
        println!();
        Ok(())
    }

    fn print(&self) {
        let Self {
            waypost,
            issuer,
            ids,
            ..
        } = self;
        println!("\n  {}", bold("Everything keeps running until Ctrl-C"));
        voice::fact(&format!("waypost          {waypost}"));
        voice::fact(&format!("model server     {}", self.model.base_url));
        voice::fact(&format!("issuer           {issuer}"));
        voice::fact(&format!("data and logs    {}", self.folder.display()));
        println!("\n  {}", dim("In another terminal:"));
        println!("\nexport WAYPOST={waypost}");
        println!("export ADMIN_KEY={}", self.admin_key);
        println!(
            "export RULE=workload_identity_providers/{}/federation_rules/{}",
            ids.provider, ids.rule
        );
        voice::try_this(
            "the workload's own JWT, then an access token for it",
            &format!(
                "JWT=$(curl -s {issuer}/__token -d '{{\n  \"sub\": \"{}\",\n  \"aud\": \"{}\"}}' \\\n  | sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/')\n\
                 TOKEN=$(curl -s $WAYPOST/oauth/token \\\n  -d grant_type=urn:ietf:params:oauth:grant-type:token-exchange \\\n  -d subject_token_type=urn:ietf:params:oauth:token-type:jwt \\\n  -d subject_token=$JWT \\\n  -d identity_provider_id={} \\\n  -d service_account_id={} \\\n  | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')",
                self.subject, self.audience, ids.provider, ids.service_account
            ),
        );
        voice::try_this(
            "an answer",
            &format!(
                "curl -s $WAYPOST/v1/responses -H \"Authorization: Bearer $TOKEN\" \\\n  -H 'Content-Type: application/json' -d '{{\n  \"model\": \"{}\",\n  \"input\": \"Say hello.\"}}'",
                self.model.name
            ),
        );
        voice::try_this(
            "the demo's stream again, from event 100",
            &format!(
                "curl -sN -H \"Authorization: Bearer $TOKEN\" \\\n  \"$WAYPOST/v1/responses/{}?stream=true&starting_after=99\"",
                self.response
            ),
        );
        voice::try_this(
            "who changed what",
            "curl -s -H \"Authorization: Bearer $ADMIN_KEY\" \\\n  $WAYPOST/v1/organization/audit_logs",
        );
        voice::try_this(
            "stop trusting the workload: its token is refused within a second",
            "curl -s -H \"Authorization: Bearer $ADMIN_KEY\" \\\n  -H 'Content-Type: application/json' -d '{\"enabled\": false}' \\\n  $WAYPOST/v1/organization/$RULE",
        );
        println!();
    }
}

/// Where a person goes from a demo that held.
pub fn next_things() {
    voice::try_this(
        "the same, and everything stays up to play with",
        "cargo xtask demo --keep",
    );
    voice::try_this(
        "with your own model server",
        "cargo xtask demo --upstream http://127.0.0.1:8000/v1",
    );
    voice::try_this("all tests", "cargo xtask test");
    println!();
}
