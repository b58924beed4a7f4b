//! The engine for one caller at a time: every call is done when it returns.
//!
//! For programs and tests that have no event loop. Nothing here that [`Engine::submit`] and
//! [`Engine::step`] could not do.

use super::{Engine, Reply, Request};
use crate::error::{Code, Error, Result};
use crate::model::MessageRef;

/// The client that the calls of this interface belong to.
const DIRECT: super::ClientId = 0;

impl Engine {
    /// Runs one call by itself, at once. Messages that it gives are handed to `visit` one by one.
    ///
    /// # Errors
    /// Those of the verb; `BUSY` for a write while an interactive transaction is open,
    /// `INDEX_PENDING` for a search while messages wait for the index; nothing was changed then.
    pub fn call(
        &mut self,
        request: Request<'_>,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        if request.is_write() {
            let answer = self.write_alone(&request)?;
            for message in &answer.messages {
                visit(&message.borrow());
            }
            return Ok(answer.reply);
        }
        if matches!(request, Request::Search { .. }) && self.index_is_behind()? {
            return Err(super::read::index_pending());
        }
        self.read_request(request, f64::INFINITY, visit)
    }

    /// Runs one call inside of the interactive transaction, as a savepoint of its own.
    ///
    /// # Errors
    /// Those of the verb, after which the transaction goes on as if the call had not been;
    /// `TRANSACTION_STATE` where no transaction is open, `TRANSACTION_LOST` where the failure ended it.
    pub fn call_in_transaction(
        &mut self,
        request: Request<'_>,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        self.expect_transaction()?;
        self.visit_in_transaction(request, f64::INFINITY, visit)
    }

    /// Begins the interactive transaction; it stays open until it is ended.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where one is open.
    pub fn begin(&mut self) -> Result<()> {
        if self.scopes.transaction.is_some() {
            return Err(Error::new(
                Code::TransactionState,
                "a transaction is open already",
            ));
        }
        self.begin_transaction(0.0, DIRECT, f64::INFINITY).map(drop)
    }

    /// Commits the interactive transaction. Whatever comes of it, it is over then.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where none is open; what writing can fail with: nothing is kept then.
    pub fn commit(&mut self) -> Result<()> {
        self.expect_transaction()?;
        self.commit_transaction(None)
    }

    /// Takes back all of the interactive transaction. Does nothing where none is open.
    pub fn rollback(&mut self) {
        self.roll_back();
    }

    /// Begins a savepoint inside of the interactive transaction; they nest.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where no transaction is open.
    pub fn savepoint(&mut self) -> Result<()> {
        self.open_savepoint()
    }

    /// Keeps what was done since the innermost savepoint, as part of what is around it.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where no savepoint is open.
    pub fn release(&mut self) -> Result<()> {
        self.keep_savepoint()
    }

    /// Takes back what was done since the innermost savepoint, which is over then.
    ///
    /// # Errors
    /// `TRANSACTION_STATE` where no savepoint is open.
    pub fn rollback_to(&mut self) -> Result<()> {
        self.undo_savepoint()
    }
}
