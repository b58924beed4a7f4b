/** Transactions for libraries that bring none. Must not know: the library. */

/** Given what prepares a statement for running, gives what wraps work in a transaction. */
export function transactions(runner) {
  let statements;
  return (work) =>
    (...values) => {
      statements ??= { begin: runner('BEGIN IMMEDIATE'), commit: runner('COMMIT'), rollback: runner('ROLLBACK') };
      statements.begin();
      try {
        const result = work(...values);
        statements.commit();
        return result;
      } catch (error) {
        statements.rollback();
        throw error;
      }
    };
}
