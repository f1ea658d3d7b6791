import type { AuditedDatabase, AuditEntry, StagedEntry } from '../../src/control/audit/entry.ts';
import { applyDeclaration, diffDeclaration } from '../../src/control/inventory/apply-declaration.ts';
import type { ShownChange } from '../../src/control/inventory/inventory-change.ts';
import { parseDeclaration } from '../../src/control/inventory/parse-declaration.ts';
import { type InventorySnapshot, readSnapshot } from '../../src/control/inventory/snapshot.ts';
import { parseTrustDomain } from '../../src/core/identity/trust-domain.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { ManualClock } from '../../src/platform/clock/clock.ts';
import { makeSignal, type Signal } from '../../src/platform/clock/signal.ts';
import { openDatabase } from '../../src/platform/db/open-database.ts';
import { makeTestAuthority } from './test-authority.ts';

export const place = { trustDomain: parseTrustDomain('acme.example'), environment: 'test', region: 'local' } as const;
export const ada = { kind: 'person', name: 'ada' } as const;

/** An inventory in a real database, with its log's entries in a list. */
export type TestInventory = AsyncDisposable & {
  readonly database: AuditedDatabase;
  readonly clock: ManualClock;
  readonly changed: Signal;
  readonly entries: readonly AuditEntry[];
  /** How many commits staged something. */
  readonly commits: () => number;
  /** The root of some CA, PEM. */
  readonly anchorsPem: string;
  /** Documents without their `apiVersion` line, which is put before each. */
  readonly apply: (text: string) => Promise<readonly ShownChange[]>;
  readonly diff: (text: string) => Promise<readonly ShownChange[]>;
  readonly snapshot: () => Promise<InventorySnapshot>;
};

export async function openInventory(url: string): Promise<TestInventory> {
  const entries: AuditEntry[] = [];
  let commits = 0;
  const database: AuditedDatabase = await openDatabase<StagedEntry>({
    url,
    seal: async (_queries, staged) => {
      commits += 1;
      entries.push(...staged.map(({ entry }) => entry));
    },
  });
  const clock = new ManualClock(Date.UTC(2026, 10, 24));
  const changed = makeSignal();
  return {
    database,
    clock,
    changed,
    entries,
    commits: () => commits,
    anchorsPem: encodePem('CERTIFICATE', makeTestAuthority(clock.now()).root.der),
    apply: (text) => applyDeclaration({ database, place, changed }, parseDeclaration(versioned(text)), ada, clock.now()),
    diff: (text) => diffDeclaration({ queries: database.queries, place }, parseDeclaration(versioned(text)), clock.now()),
    snapshot: () => readSnapshot(database.queries),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

function versioned(text: string): string {
  return text
    .split(/^---$/m)
    .map((document) => `apiVersion: countersign/v1\n${document.trim()}\n`)
    .join('---\n');
}
