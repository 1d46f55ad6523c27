//! Changes run to their end, each in a task of its own, whether or not the client waits for the answer.
//!
//! When a client goes away its request's future is dropped at whatever it waits for. A change that was committed by
//! then but not published would leave the store and the memory of the server different until the next start.
//!
//! Invariant: once begun, a change ends before the store is closed (unless the time to drain is over).

use std::{future::Future, sync::Arc};

use http::StatusCode;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::ApiError;

/// The changes that run. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Each change holds it shared; who waits for all of them wants it alone.
    running: Arc<RwLock<()>>,
}

impl Changes {
    /// Makes a change; dropping the returned future gives up the answer, not the change.
    pub(super) async fn make<T, E>(
        &self,
        change: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let running = self.running.clone().read_owned().await;
        let change = tokio::spawn(async move {
            let _running = running;
            change.await
        });
        match change.await {
            Ok(made) => made.map_err(Into::into),
            // The panic itself has been reported by the hook.
            Err(_) => Err(broke_down()),
        }
    }

    /// For who makes a change and is no client: it runs until what is returned is dropped. `None` once the server waits for
    /// all changes to end.
    pub(crate) fn begin(&self) -> Option<OwnedRwLockReadGuard<()>> {
        self.running.clone().try_read_owned().ok()
    }

    /// Returns when no change runs.
    pub async fn ended(&self) {
        drop(self.running.write().await);
    }
}

fn broke_down() -> ApiError {
    let message = "the server failed while it made the change";
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
}
