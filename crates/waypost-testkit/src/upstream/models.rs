//! Model names: each with its scripts and its count of calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::script::Script;

/// Model names remembered.
const MAX_MODELS: usize = 10_000;

/// All model names that were asked for or installed.
#[derive(Debug, Default)]
pub(super) struct Models(RwLock<HashMap<String, Arc<Model>>>);

/// What one call is answered by.
pub(super) struct Turn {
    pub(super) script: Arc<Script>,
    /// The script is one of several for this model name.
    pub(super) by_attempt: bool,
}

impl Models {
    /// Makes `script` the script of the model `name`.
    pub(super) fn install(&self, name: &str, script: Script) {
        let mut models = self.0.write().unwrap_or_else(PoisonError::into_inner);
        models.insert(name.to_owned(), Arc::new(Model::new(script, true)));
    }

    /// Counts a call of the model `name`.
    pub(super) fn next_turn(&self, name: &str) -> Result<Turn, String> {
        if let Some(model) = self.read().get(name) {
            return Ok(model.next_turn());
        }
        let script = match name.split_once('?') {
            Some((_, query)) => Script::from_query(query)?,
            None => Script::default(),
        };
        let mut models = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if models.len() >= MAX_MODELS {
            return Err(format!(
                "more than {MAX_MODELS} model names; POST /__reset forgets them"
            ));
        }
        let model = models
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Model::new(script, false)));
        Ok(model.next_turn())
    }

    /// The script of a model name, without counting a call.
    pub(super) fn script(&self, name: &str) -> Option<Arc<Script>> {
        if let Some(model) = self.read().get(name) {
            return Some(model.sound.clone());
        }
        let (_, query) = name.split_once('?')?;
        Script::from_query(query).ok().map(Arc::new)
    }

    pub(super) fn calls(&self) -> BTreeMap<String, u64> {
        let models = self.read();
        let calls = models.iter();
        calls
            .map(|(name, model)| (name.clone(), model.calls.load(Relaxed)))
            .collect()
    }

    /// The names to list, in order.
    pub(super) fn names(&self) -> Vec<String> {
        let models = self.read();
        let installed = models.iter().filter(|(_, model)| model.installed);
        let mut names: Vec<String> = installed.map(|(name, _)| name.clone()).collect();
        names.push("scripted".to_owned());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Forgets all but the installed scripts.
    pub(super) fn reset(&self) {
        let mut models = self.0.write().unwrap_or_else(PoisonError::into_inner);
        models.retain(|_, model| model.installed);
        for model in models.values() {
            model.calls.store(0, Relaxed);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<Model>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One model name: its script, once as it is when sound and once as it is when failing, and those
/// of later calls.
#[derive(Debug)]
struct Model {
    sound: Arc<Script>,
    failing: Arc<Script>,
    fail_first: u64,
    then: Vec<Arc<Script>>,
    calls: AtomicU64,
    installed: bool,
}

impl Model {
    fn new(mut script: Script, installed: bool) -> Self {
        let then = std::mem::take(&mut script.then);
        let fail_first = if script.fail_first == 0 {
            u64::MAX
        } else {
            script.fail_first
        };
        let (sound, failing) = script.split_failures();
        let calls = AtomicU64::new(0);
        Self {
            sound: Arc::new(sound),
            failing: Arc::new(failing),
            fail_first,
            then: then.into_iter().map(Arc::new).collect(),
            calls,
            installed,
        }
    }

    fn next_turn(&self) -> Turn {
        let before = self.calls.fetch_add(1, Relaxed);
        let script = if !self.then.is_empty() && before > 0 {
            let at = usize::try_from(before)
                .unwrap_or(usize::MAX)
                .min(self.then.len());
            &self.then[at - 1]
        } else if before < self.fail_first {
            &self.failing
        } else {
            &self.sound
        };
        Turn {
            script: script.clone(),
            by_attempt: !self.then.is_empty(),
        }
    }
}
