/**
 * The smallest program that issues and answers over a TCP connection, for the examination of flush and answer: the product's own database,
 * log, authorities and issuance. `synchronous` is set on the writer after the product has opened it, as no configuration of the product can.
 * Each line received is answered with a certificate. It ends with its first client, so that the trace of every call is whole.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { type AddressInfo, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { sql } from 'kysely';
import type { StagedEntry } from '../../src/control/audit/entry.ts';
import { makeSeal } from '../../src/control/audit/make-seal.ts';
import { addAuthorityPair } from '../../src/control/ca/initialize-authorities.ts';
import { issueCertificate } from '../../src/control/ca/issue-certificate.ts';
import { openAuthorities } from '../../src/control/ca/open-authorities.ts';
import { systemClock } from '../../src/platform/clock/clock.ts';
import { openDatabase } from '../../src/platform/db/open-database.ts';
import { openSqliteDatabase } from '../../src/platform/db/sqlite-database.ts';
import { makeKeyEncryptionKey } from '../../src/platform/signer/key-encryption-key.ts';
import { ada, joinRequest, newTestRequest, place, trustDomain } from '../support/authorities.ts';

const [path, synchronous] = process.argv.slice(2);
if (path === undefined || !/^(OFF|NORMAL|FULL)$/.test(synchronous ?? ''))
  throw new Error('usage: answering-process.ts FILE OFF|NORMAL|FULL');
const seal = makeSeal({
  checkpointKey: generateKeyPairSync('ed25519').privateKey,
  origin: 'faults.example',
  kind: 'sqlite',
  clock: systemClock,
});
await (await openDatabase<StagedEntry>({ url: `sqlite:${path}`, seal }))[Symbol.asyncDispose]();
const { database, migrate: writer } = openSqliteDatabase<StagedEntry>(path, seal);
const kek = makeKeyEncryptionKey(randomBytes(32));
await addAuthorityPair({ database, kek }, { trustDomain, ...place, keyType: 'P-256', crlBaseUrl: null }, ada, systemClock.now());
const authorities = await openAuthorities({ database, kek });
await sql.raw(`PRAGMA synchronous = ${synchronous!}`).execute(writer);

const server = createServer(async (socket) => {
  const { csr } = newTestRequest();
  for await (const _line of createInterface(socket)) {
    const { der } = await issueCertificate({ database, authorities }, joinRequest({ csr }), systemClock.now());
    socket.write(`${Buffer.from(der).toString('base64')}\n`);
  }
  socket.end();
  server.close();
  await database[Symbol.asyncDispose]();
});
server.listen(0, '127.0.0.1', () =>
  process.stdout.write(`${JSON.stringify({ pid: process.pid, ...(server.address() as AddressInfo) })}\n`),
);
