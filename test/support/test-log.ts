import { generateKeyPairSync } from 'node:crypto';
import type { Actor, AuditedDatabase, AuditEntry, StagedEntry } from '../../src/control/audit/entry.ts';
import { makeSeal } from '../../src/control/audit/make-seal.ts';
import { noteVerifier } from '../../src/core/merkle/signed-note.ts';
import type { LogFiles } from '../../src/core/merkle/verify-log.ts';
import { ManualClock } from '../../src/platform/clock/clock.ts';
import type { Seal } from '../../src/platform/db/database.ts';
import { openDatabase } from '../../src/platform/db/open-database.ts';
import { readLogFile } from '../../src/protocols/log/log-files.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');

/** The verifier of every log that `openLog` opens. */
export const logVerifier = noteVerifier('log.example', publicKey);
export const logClock = new ManualClock(1_800_000_000_000);

export function logSeal(url: string): Seal<StagedEntry> {
  return makeSeal({
    checkpointKey: privateKey,
    origin: logVerifier.name,
    kind: url.startsWith('sqlite:') ? 'sqlite' : 'postgres',
    clock: logClock,
  });
}

/** A database with the real audit log in it. */
export function openLog(url: string): Promise<AuditedDatabase> {
  return openDatabase<StagedEntry>({ url, seal: logSeal(url) });
}

export function logEntry(data: AuditEntry['data'], actor: Actor = { kind: 'system', name: 'test' }): AuditEntry {
  return { type: 'thing.made', at: logClock.now(), environment: 'production', region: 'local', actor, data };
}

/** The log's files as the protocol serves them, read as an export reads them. */
export function servedFiles({ queries }: AuditedDatabase): LogFiles {
  return { read: async (path) => (await readLogFile({ queries, verifier: logVerifier }, path)).body };
}
