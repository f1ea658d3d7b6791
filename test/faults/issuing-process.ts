/**
 * The process that is killed: opens the state of a server and issues certificates without pause, eight at a time. A line on stdout,
 * written at once, is the answer that a client would have got.
 */
import { generateKeyPairSync } from 'node:crypto';
import { writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { issueCertificate } from '../../src/control/ca/issue-certificate.ts';
import { parseServerConfig } from '../../src/platform/config/server-config.ts';
import { parseSpiffeId } from '../../src/core/identity/spiffe-id.ts';
import { newEntityId } from '../../src/platform/ids/new-entity-id.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../src/core/x509/certificate-request.ts';
import { systemClock } from '../../src/platform/clock/clock.ts';
import { openOrMakeAuthorities, openState } from '../../src/server/open-state.ts';

const [folder, database] = process.argv.slice(2);
if (folder === undefined || database === undefined) throw new Error('usage: issuing-process.ts FOLDER DATABASE');
const text = `dataDirectory: ${join(folder, 'data')}\nkeyFile: ${join(folder, 'kek')}\ntrustDomain: faults.example\ndatabase: ${database}\n`;
const config = parseServerConfig(text, folder);
const state = await openState({ config, clock: systemClock });
const authorities = await openOrMakeAuthorities(state, config, systemClock);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const spiffeId = parseSpiffeId('spiffe://faults.example/production/worker');
const csr = parseCertificateRequest(buildCertificateRequest({ uris: [spiffeId] }, privateKey));
const proxyId = newEntityId('proxy', Date.now());

async function issueOne(): Promise<string> {
  const issued = await issueCertificate(
    { database: state.database, authorities },
    {
      door: 'rest',
      profile: 'workload',
      asker: { role: 'admin', scope: '*', spiffeId: null },
      actor: { kind: 'machine', name: 'faults' },
      csr,
      spiffeId,
      names: { dns: [], ip: [] },
      proxyId,
      environment: 'production',
      region: 'local',
    },
    systemClock.now(),
  );
  return issued.serialHex;
}

// A process that is killed keeps nothing of what Node compiled.
flushCompileCache();
writeSync(1, 'ready\n');
await Promise.all(
  Array.from({ length: 8 }, async () => {
    for (;;) writeSync(1, `${await issueOne()}\n`);
  }),
);
