import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { formatHostPort, parseHostPort } from '../../platform/network/host-port.ts';
import type { Actor, AuditedDatabase } from '../audit/entry.ts';
import { recordEntry } from '../audit/record-entry.ts';
import { listDiscovered, upsertDiscovered } from './discovered-store.ts';
import type { DiscoveredRecord } from './record.ts';

/** What a prober saw at one address; its words are data. */
export type Observation = {
  /** `IP:PORT`. */
  readonly address: string;
  /** First line of a plaintext HTTP answer. */
  readonly plaintextHttp: string | null;
  /** What TLS handshakes showed. */
  readonly tls: { readonly [name: string]: unknown } | null;
};

/** Keeps what was seen, with one entry of the run. @throws input-invalid; then nothing is kept */
export async function recordDiscovered(
  deps: { readonly database: AuditedDatabase },
  request: { readonly environment: string; readonly region: string; readonly observations: readonly Observation[] },
  actor: Actor,
  now: Instant,
): Promise<{ readonly recorded: number; readonly fresh: number }> {
  const { environment, region } = request;
  const records = request.observations.map((observation) => toRecord(observation, request, now));
  const fresh = await deps.database.commit(async (unit) => {
    const known = new Set((await listDiscovered(unit.queries, [environment])).map(({ address }) => address));
    for (const record of records) await upsertDiscovered(unit.queries, record);
    const fresh = records.filter(({ address }) => !known.has(address)).length;
    const plaintext = request.observations.filter(({ plaintextHttp }) => plaintextHttp !== null).length;
    const data = { addresses: records.length, fresh, plaintext };
    recordEntry(unit, { type: 'discovery.recorded', at: now, environment, region, actor, data });
    return fresh;
  });
  return { recorded: records.length, fresh };
}

function toRecord(
  observation: Observation,
  place: { readonly environment: string; readonly region: string },
  now: Instant,
): DiscoveredRecord {
  const { plaintextHttp, tls } = observation;
  const facts = { plaintextHttp: plaintextHttp?.slice(0, MAXIMUM_LINE) ?? null, tls };
  if (JSON.stringify(facts).length > MAXIMUM_FACTS) {
    throw new Problem('input-invalid', `Cannot record ${observation.address}: facts of over ${MAXIMUM_FACTS} characters`);
  }
  return {
    environment: place.environment,
    region: place.region,
    address: formatHostPort(parseHostPort(observation.address)),
    protocol: plaintextHttp?.startsWith('HTTP/2') ? 'grpc' : plaintextHttp !== null ? 'http' : tls !== null ? 'tls' : 'unknown',
    facts,
    firstSeenAt: now,
    lastSeenAt: now,
  };
}

const MAXIMUM_LINE = 200;
/** A chain of ten large certificates. */
const MAXIMUM_FACTS = 65_536;
