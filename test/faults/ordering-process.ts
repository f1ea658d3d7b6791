/**
 * The process that is killed: opens the state of a server and drives what is ordered at another CA, without pause. It says `ready` when it begins,
 * and `idle` once nothing is open any more.
 */
import { writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { OrderDriver } from '../../src/control/external/order-driver.ts';
import { listExternalOrders } from '../../src/control/external/order-store.ts';
import { systemClock } from '../../src/platform/clock/clock.ts';
import { parseServerConfig } from '../../src/platform/config/server-config.ts';
import { makeNameResolver } from '../../src/platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../../src/platform/network/outside-policy.ts';
import { openState } from '../../src/server/open-state.ts';

const [folder, database, ahead] = process.argv.slice(2);
if (folder === undefined || database === undefined || ahead === undefined)
  throw new Error('usage: ordering-process.ts FOLDER DATABASE MILLISECONDS');
const text = `dataDirectory: ${join(folder, 'data')}\nkeyFile: ${join(folder, 'kek')}\ntrustDomain: faults.example\ndatabase: ${database}\n`;
// Each process lives in a later time than the one before, so that what that one held is free at once.
const clock = { now: () => systemClock.now() + Number(ahead) };
const state = await openState({ config: parseServerConfig(text, folder), clock });
const driver = new OrderDriver({
  database: state.database,
  kek: state.kek,
  clock,
  resolver: makeNameResolver([]),
  policy: parseOutsidePolicy(['127.0.0.0/8'], () => []),
  log: (_level, event, fields) => writeSync(1, `log ${event} ${JSON.stringify(fields)}\n`),
});
// A process that is killed keeps nothing of what Node compiled.
flushCompileCache();
writeSync(1, 'ready\n');
const open = new Set(['requested', 'placing', 'placed']);
for (;;) {
  await driver.run();
  await driver.settled();
  if (!(await listExternalOrders(state.database.queries, '*', 100)).some(({ status }) => open.has(status))) break;
  await pause(50);
}
writeSync(1, 'idle\n');
await driver[Symbol.asyncDispose]();
await state[Symbol.asyncDispose]();
