//! The directory's trait: each method moves its arguments to the thread that
//! serves it and calls the function of the same name.

mod changes;
mod federation;
mod keys;
mod load;
mod lookups;
mod projects;
mod tokens;

use async_trait::async_trait;

pub(super) use self::federation::providers;
use super::{EmbeddedStore, sql::Result};
use crate::{
    Millis, StoreError,
    audit::AuditDraft,
    directory::{
        ApiKey, ApiKeyPatch, Directory, NewApiKey, NewProject, NewProvider, NewRule,
        NewServiceAccount, Project, ProjectPatch, Provider, ProviderPatch, Revocation, Rule,
        RulePatch, SealedSigningKey, ServiceAccount, ServiceAccountPatch,
    },
    page::{Page, PageQuery},
    store::DirectoryStore,
};

#[async_trait]
impl DirectoryStore for EmbeddedStore {
    async fn load_directory(&self) -> Result<Directory, StoreError> {
        self.read(load::directory).await
    }

    async fn directory_version(&self) -> Result<i64, StoreError> {
        self.read(|conn| Ok(changes::version(conn)?)).await
    }

    async fn organization_id(&self) -> Result<String, StoreError> {
        Ok(self.organization_id.clone())
    }

    async fn create_project(
        &self,
        new: NewProject,
        audit: AuditDraft,
    ) -> Result<Project, StoreError> {
        self.write(move |tx| projects::create(tx, new, audit)).await
    }

    async fn get_project(&self, id: &str) -> Result<Project, StoreError> {
        let id = id.to_owned();
        self.read(move |conn| lookups::project(conn, &id)).await
    }

    async fn list_projects(
        &self,
        page: PageQuery,
        include_archived: bool,
    ) -> Result<Page<Project>, StoreError> {
        self.read(move |conn| projects::list(conn, &page, include_archived))
            .await
    }

    async fn update_project(
        &self,
        id: &str,
        patch: ProjectPatch,
        audit: AuditDraft,
    ) -> Result<Project, StoreError> {
        let id = id.to_owned();
        self.write(move |tx| projects::update(tx, &id, patch, audit))
            .await
    }

    async fn archive_project(&self, id: &str, audit: AuditDraft) -> Result<Project, StoreError> {
        let id = id.to_owned();
        self.write(move |tx| projects::archive(tx, &id, audit))
            .await
    }

    async fn create_service_account(
        &self,
        new: NewServiceAccount,
        audit: AuditDraft,
        key: Option<(NewApiKey, AuditDraft)>,
    ) -> Result<(ServiceAccount, Option<ApiKey>), StoreError> {
        self.write(move |tx| projects::create_account(tx, new, audit, key))
            .await
    }

    async fn get_service_account(
        &self,
        project_id: &str,
        id: &str,
    ) -> Result<ServiceAccount, StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.read(move |conn| lookups::service_account(conn, &project_id, &id))
            .await
    }

    async fn list_service_accounts(
        &self,
        project_id: &str,
        page: PageQuery,
    ) -> Result<Page<ServiceAccount>, StoreError> {
        let project_id = project_id.to_owned();
        self.read(move |conn| projects::list_accounts(conn, &project_id, &page))
            .await
    }

    async fn update_service_account(
        &self,
        project_id: &str,
        id: &str,
        patch: ServiceAccountPatch,
        audit: AuditDraft,
    ) -> Result<ServiceAccount, StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.write(move |tx| projects::update_account(tx, &project_id, &id, patch, audit))
            .await
    }

    async fn delete_service_account(
        &self,
        project_id: &str,
        id: &str,
        audit: AuditDraft,
    ) -> Result<(), StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.write(move |tx| projects::delete_account(tx, &project_id, &id, audit))
            .await
    }

    async fn create_key(&self, new: NewApiKey, audit: AuditDraft) -> Result<ApiKey, StoreError> {
        self.write(move |tx| keys::create(tx, new, audit)).await
    }

    async fn get_admin_key(&self, id: &str) -> Result<ApiKey, StoreError> {
        let id = id.to_owned();
        self.read(move |conn| keys::get(conn, None, &id)).await
    }

    async fn list_admin_keys(&self, page: PageQuery) -> Result<Page<ApiKey>, StoreError> {
        self.read(move |conn| keys::list_admin(conn, &page)).await
    }

    async fn delete_admin_key(&self, id: &str, audit: AuditDraft) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write(move |tx| keys::delete(tx, None, &id, audit))
            .await
    }

    async fn get_project_key(&self, project_id: &str, id: &str) -> Result<ApiKey, StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.read(move |conn| keys::get(conn, Some(&project_id), &id))
            .await
    }

    async fn list_project_keys(
        &self,
        project_id: &str,
        service_account_id: Option<&str>,
        page: PageQuery,
    ) -> Result<Page<ApiKey>, StoreError> {
        let (project_id, account) = (project_id.to_owned(), service_account_id.map(str::to_owned));
        self.read(move |conn| keys::list_project(conn, &project_id, account.as_deref(), &page))
            .await
    }

    async fn update_project_key(
        &self,
        project_id: &str,
        id: &str,
        patch: ApiKeyPatch,
        audit: AuditDraft,
    ) -> Result<ApiKey, StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.write(move |tx| keys::update(tx, &project_id, &id, patch, audit))
            .await
    }

    async fn delete_project_key(
        &self,
        project_id: &str,
        id: &str,
        audit: AuditDraft,
    ) -> Result<(), StoreError> {
        let (project_id, id) = (project_id.to_owned(), id.to_owned());
        self.write(move |tx| keys::delete(tx, Some(&project_id), &id, audit))
            .await
    }

    async fn touch_keys(&self, used: Vec<(String, Millis)>) -> Result<(), StoreError> {
        self.write(move |tx| keys::touch(tx, &used)).await
    }

    async fn create_provider(
        &self,
        new: NewProvider,
        audit: AuditDraft,
    ) -> Result<Provider, StoreError> {
        self.write(move |tx| federation::create_provider(tx, new, audit))
            .await
    }

    async fn get_provider(&self, id: &str) -> Result<Provider, StoreError> {
        let id = id.to_owned();
        self.read(move |conn| federation::get_provider(conn, &id))
            .await
    }

    async fn list_providers(&self, page: PageQuery) -> Result<Page<Provider>, StoreError> {
        self.read(move |conn| federation::list_providers(conn, &page))
            .await
    }

    async fn update_provider(
        &self,
        id: &str,
        patch: ProviderPatch,
        audit: AuditDraft,
    ) -> Result<Provider, StoreError> {
        let id = id.to_owned();
        self.write(move |tx| federation::update_provider(tx, &id, patch, audit))
            .await
    }

    async fn delete_provider(&self, id: &str, audit: AuditDraft) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.write(move |tx| federation::delete_provider(tx, &id, audit))
            .await
    }

    async fn create_rule(&self, new: NewRule, audit: AuditDraft) -> Result<Rule, StoreError> {
        self.write(move |tx| federation::create_rule(tx, new, audit))
            .await
    }

    async fn get_rule(&self, provider_id: &str, id: &str) -> Result<Rule, StoreError> {
        let (provider_id, id) = (provider_id.to_owned(), id.to_owned());
        self.read(move |conn| federation::get_rule(conn, &provider_id, &id))
            .await
    }

    async fn list_rules(
        &self,
        provider_id: &str,
        service_account_id: Option<&str>,
        page: PageQuery,
    ) -> Result<Page<Rule>, StoreError> {
        let (provider_id, account) = (
            provider_id.to_owned(),
            service_account_id.map(str::to_owned),
        );
        self.read(move |conn| federation::list_rules(conn, &provider_id, account.as_deref(), &page))
            .await
    }

    async fn update_rule(
        &self,
        provider_id: &str,
        id: &str,
        patch: RulePatch,
        audit: AuditDraft,
    ) -> Result<Rule, StoreError> {
        let (provider_id, id) = (provider_id.to_owned(), id.to_owned());
        self.write(move |tx| federation::update_rule(tx, &provider_id, &id, patch, audit))
            .await
    }

    async fn delete_rule(
        &self,
        provider_id: &str,
        id: &str,
        audit: AuditDraft,
    ) -> Result<(), StoreError> {
        let (provider_id, id) = (provider_id.to_owned(), id.to_owned());
        self.write(move |tx| federation::delete_rule(tx, &provider_id, &id, audit))
            .await
    }

    async fn revoke_token(&self, revocation: Revocation) -> Result<(), StoreError> {
        self.write(move |tx| tokens::revoke(tx, &revocation)).await
    }

    async fn add_signing_key(&self, key: SealedSigningKey) -> Result<(), StoreError> {
        self.write(move |tx| tokens::add_signing_key(tx, &key))
            .await
    }

    async fn delete_signing_key(&self, kid: &str) -> Result<(), StoreError> {
        let kid = kid.to_owned();
        self.write(move |tx| tokens::delete_signing_key(tx, &kid))
            .await
    }
}
