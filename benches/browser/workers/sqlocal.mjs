/** SQLocal's own worker, as its package brings it. */
import '../../peers/node_modules/sqlocal/dist/worker.js';
