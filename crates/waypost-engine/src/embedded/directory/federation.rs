//! Workload identity providers and their federation rules.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{changes::record, lookups};
use crate::{
    audit::AuditDraft,
    directory::{NewProvider, NewRule, Provider, ProviderPatch, Rule, RulePatch},
    embedded::{
        Tx,
        sql::{Result, exists, json, now, page, run},
    },
    page::{Page, PageQuery},
    refusals,
    store::{MAX_PROVIDERS, MAX_RULES_PER_PROVIDER},
};

pub(super) fn create_provider(
    tx: &mut Tx<'_>,
    new: NewProvider,
    audit: AuditDraft,
) -> Result<Provider> {
    let count: u64 = tx
        .conn
        .prepare_cached("SELECT count(*) FROM providers")?
        .query_row([], |row| row.get(0))?;
    if count >= MAX_PROVIDERS {
        return Err(refusals::too_many_providers());
    }
    let now = now();
    let provider = Provider {
        id: tx.id("wip_"),
        name: new.name,
        description: new.description,
        issuer: new.issuer,
        audience: new.audience,
        enabled: new.enabled,
        attribute_transformations: new.attribute_transformations,
        verification: new.verification,
        trust_epoch: 1,
        created_at: now,
        updated_at: now,
    };
    provider_name_is_free(tx, &provider)?;
    write_provider(tx, &provider)?;
    record(tx, audit, Some(&provider.id))?;
    Ok(provider)
}

pub(super) fn get_provider(conn: &Connection, id: &str) -> Result<Provider> {
    conn.prepare_cached("SELECT * FROM providers WHERE id = ?")?
        .query_row([id], read_provider)
        .optional()?
        .ok_or_else(refusals::no_provider)
}

pub(super) fn list_providers(conn: &Connection, query: &PageQuery) -> Result<Page<Provider>> {
    let select = "SELECT * FROM providers WHERE true";
    page(conn, select, vec![], query, read_provider)
}

/// All providers by name, for a look from outside of the engine.
pub(in crate::embedded) fn providers(conn: &Connection) -> rusqlite::Result<Vec<Provider>> {
    conn.prepare("SELECT * FROM providers ORDER BY name")?
        .query_map([], read_provider)?
        .collect()
}

pub(super) fn update_provider(
    tx: &mut Tx<'_>,
    id: &str,
    patch: ProviderPatch,
    audit: AuditDraft,
) -> Result<Provider> {
    let mut provider = get_provider(tx.conn, id)?;
    patch.apply(&mut provider);
    provider.updated_at = now();
    provider_name_is_free(tx, &provider)?;
    write_provider(tx, &provider)?;
    record(tx, audit, None)?;
    Ok(provider)
}

pub(super) fn delete_provider(tx: &mut Tx<'_>, id: &str, audit: AuditDraft) -> Result<()> {
    get_provider(tx.conn, id)?;
    if exists(tx.conn, "SELECT 1 FROM rules WHERE provider_id = ?", [id])? {
        return Err(refusals::provider_has_rules());
    }
    run(tx.conn, "DELETE FROM providers WHERE id = ?", [id])?;
    record(tx, audit, None)
}

fn provider_name_is_free(tx: &Tx<'_>, provider: &Provider) -> Result<()> {
    let sql = "SELECT 1 FROM providers WHERE name = ? AND id <> ?";
    if exists(tx.conn, sql, [&provider.name, &provider.id])? {
        return Err(refusals::provider_name_is_taken(&provider.name));
    }
    Ok(())
}

/// Inserts the row, or updates the columns that a patch can change.
fn write_provider(tx: &Tx<'_>, provider: &Provider) -> Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO providers (id, name, description, issuer, audience, enabled,
                 attribute_transformations, verification, trust_epoch, created_at, updated_at)
             VALUES (:id, :name, :description, :issuer, :audience, :enabled,
                 :attribute_transformations, :verification, :trust_epoch, :created_at, :updated_at)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name,
                 description = excluded.description, issuer = excluded.issuer,
                 audience = excluded.audience, enabled = excluded.enabled,
                 attribute_transformations = excluded.attribute_transformations,
                 verification = excluded.verification, trust_epoch = excluded.trust_epoch,
                 updated_at = excluded.updated_at",
        )?
        .execute(named_params! {
            ":id": provider.id,
            ":name": provider.name,
            ":description": provider.description,
            ":issuer": provider.issuer,
            ":audience": provider.audience,
            ":enabled": provider.enabled,
            ":attribute_transformations": provider.attribute_transformations.to_string(),
            ":verification": provider.verification.to_string(),
            ":trust_epoch": provider.trust_epoch,
            ":created_at": provider.created_at,
            ":updated_at": provider.updated_at,
        })?;
    Ok(())
}

pub(super) fn read_provider(row: &Row<'_>) -> rusqlite::Result<Provider> {
    Ok(Provider {
        id: row.get("id")?,
        name: row.get("name")?,
        description: row.get("description")?,
        issuer: row.get("issuer")?,
        audience: row.get("audience")?,
        enabled: row.get("enabled")?,
        attribute_transformations: json(row, "attribute_transformations")?,
        verification: json(row, "verification")?,
        trust_epoch: row.get("trust_epoch")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

pub(super) fn create_rule(tx: &mut Tx<'_>, new: NewRule, audit: AuditDraft) -> Result<Rule> {
    get_provider(tx.conn, &new.provider_id)?;
    lookups::service_account(tx.conn, &new.project_id, &new.service_account_id)?;
    lookups::active_project(tx.conn, &new.project_id)?;
    let sql = "SELECT 1 FROM rules WHERE provider_id = ? AND service_account_id = ?";
    if exists(tx.conn, sql, [&new.provider_id, &new.service_account_id])? {
        return Err(refusals::account_has_a_rule());
    }
    let count: u64 = tx
        .conn
        .prepare_cached("SELECT count(*) FROM rules WHERE provider_id = ?")?
        .query_row([&new.provider_id], |row| row.get(0))?;
    if count >= MAX_RULES_PER_PROVIDER {
        return Err(refusals::too_many_rules());
    }
    let now = now();
    let rule = Rule {
        id: tx.id("wifr_"),
        provider_id: new.provider_id,
        project_id: new.project_id,
        service_account_id: new.service_account_id,
        name: new.name,
        description: new.description,
        enabled: new.enabled,
        attribute_matchers: new.attribute_matchers,
        permissions: new.permissions,
        created_at: now,
        updated_at: now,
    };
    rule_name_is_free(tx, &rule)?;
    write_rule(tx, &rule)?;
    record(tx, audit, Some(&rule.id))?;
    Ok(rule)
}

pub(super) fn get_rule(conn: &Connection, provider_id: &str, id: &str) -> Result<Rule> {
    conn.prepare_cached("SELECT * FROM rules WHERE id = ? AND provider_id = ?")?
        .query_row([id, provider_id], read_rule)
        .optional()?
        .ok_or_else(refusals::no_rule)
}

pub(super) fn list_rules(
    conn: &Connection,
    provider_id: &str,
    account_id: Option<&str>,
    query: &PageQuery,
) -> Result<Page<Rule>> {
    get_provider(conn, provider_id)?;
    let mut values = vec![provider_id.to_owned().into()];
    let select = match account_id {
        None => "SELECT * FROM rules WHERE provider_id = ?",
        Some(account_id) => {
            values.push(account_id.to_owned().into());
            "SELECT * FROM rules WHERE provider_id = ? AND service_account_id = ?"
        }
    };
    page(conn, select, values, query, read_rule)
}

pub(super) fn update_rule(
    tx: &mut Tx<'_>,
    provider_id: &str,
    id: &str,
    patch: RulePatch,
    audit: AuditDraft,
) -> Result<Rule> {
    let mut rule = get_rule(tx.conn, provider_id, id)?;
    patch.apply(&mut rule);
    rule.updated_at = now();
    rule_name_is_free(tx, &rule)?;
    write_rule(tx, &rule)?;
    record(tx, audit, None)?;
    Ok(rule)
}

pub(super) fn delete_rule(
    tx: &mut Tx<'_>,
    provider_id: &str,
    id: &str,
    audit: AuditDraft,
) -> Result<()> {
    get_rule(tx.conn, provider_id, id)?;
    run(tx.conn, "DELETE FROM rules WHERE id = ?", [id])?;
    record(tx, audit, None)
}

fn rule_name_is_free(tx: &Tx<'_>, rule: &Rule) -> Result<()> {
    let sql = "SELECT 1 FROM rules WHERE provider_id = ? AND name = ? AND id <> ?";
    if exists(tx.conn, sql, (&rule.provider_id, &rule.name, &rule.id))? {
        let name = rule.name.as_deref().unwrap_or_default();
        return Err(refusals::rule_name_is_taken(name));
    }
    Ok(())
}

/// Inserts the row, or updates the columns that a patch can change.
fn write_rule(tx: &Tx<'_>, rule: &Rule) -> Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO rules (id, provider_id, project_id, service_account_id, name, description,
                 enabled, attribute_matchers, permissions, created_at, updated_at)
             VALUES (:id, :provider_id, :project_id, :service_account_id, :name, :description,
                 :enabled, :attribute_matchers, :permissions, :created_at, :updated_at)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name,
                 description = excluded.description, enabled = excluded.enabled,
                 attribute_matchers = excluded.attribute_matchers,
                 permissions = excluded.permissions, updated_at = excluded.updated_at",
        )?
        .execute(named_params! {
            ":id": rule.id,
            ":provider_id": rule.provider_id,
            ":project_id": rule.project_id,
            ":service_account_id": rule.service_account_id,
            ":name": rule.name,
            ":description": rule.description,
            ":enabled": rule.enabled,
            ":attribute_matchers": rule.attribute_matchers.to_string(),
            ":permissions": rule.permissions.to_string(),
            ":created_at": rule.created_at,
            ":updated_at": rule.updated_at,
        })?;
    Ok(())
}

pub(super) fn read_rule(row: &Row<'_>) -> rusqlite::Result<Rule> {
    Ok(Rule {
        id: row.get("id")?,
        provider_id: row.get("provider_id")?,
        project_id: row.get("project_id")?,
        service_account_id: row.get("service_account_id")?,
        name: row.get("name")?,
        description: row.get("description")?,
        enabled: row.get("enabled")?,
        attribute_matchers: json(row, "attribute_matchers")?,
        permissions: json(row, "permissions")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}
