/**
 * Everything that a report checks, in its order.
 *
 * Holds: the list. Must not know: how a check is run.
 */

import { concurrency } from './categories/concurrency.js';
import { benchmarks, health, resources } from './categories/measurements.js';
import { persistence } from './categories/persistence.js';
import { pool } from './categories/pool.js';
import { queries } from './categories/queries.js';
import { recovery } from './categories/recovery.js';
import { schema } from './categories/schema.js';
import { transactions } from './categories/transactions.js';
import type { Category } from './types.js';

export const categories: readonly Category[] = [
  pool,
  queries,
  transactions,
  recovery,
  concurrency,
  persistence,
  schema,
  benchmarks,
  health,
  resources,
];
