import type { Queries } from '../../platform/db/database.ts';
import type { Authorities } from '../../control/ca/authorities.ts';
import type { CertificateRecord } from '../../control/ca/certificate-store.ts';
import { type CertificateFilter, listCertificates } from '../../control/ca/search-certificates.ts';
import { listDeclaredProxies, listEndpoints } from '../../control/inventory/store.ts';
import { readServing, searchServed, type Serving } from '../../control/telemetry/search-served.ts';
import type { EntityId } from '../../core/ids/entity-id.ts';
import { criteriaOf, identityOfService } from './certificate-criteria.ts';
import { type Answer, type Call, json } from './handler.ts';
import { withFindings } from './show-foreign.ts';
import { cursorOf, endCursorOf, readCursor } from './show-certificate.ts';

type Deps = { readonly database: { readonly queries: Queries }; readonly authorities: Authorities };

/** A page of what was issued, each with where it was last seen served. */
export async function listIssued({ database: { queries }, authorities }: Deps, call: Call<'list-certificates'>): Promise<Answer> {
  const { query, environment } = call;
  const size = Number(query.limit ?? 100);
  const selected = { ...filterOf(call), ...identityOfService(authorities.trustDomain, environment, query), limit: size + 1 };
  const found = await (query.served === undefined ? listCertificates(queries, selected) : searchServed(queries, selected, query.served));
  const page = found.slice(0, size);
  const last = found.length > size ? page.at(-1)! : null;
  const next = last && (query.endsBefore === undefined ? cursorOf(last) : endCursorOf(last));
  return json({ items: await showServed(queries, page), next });
}

function filterOf({ query, scope, now }: Call<'list-certificates'>): Omit<CertificateFilter, 'limit'> {
  const { status, proxy, from, until, before, asker, endsBefore } = query;
  const cursor = before === undefined ? null : readCursor(before);
  const byEnd = endsBefore !== undefined;
  return {
    environments: scope,
    ...criteriaOf(query),
    ...(asker === undefined ? {} : { asker }),
    ...(status === undefined ? {} : { status }),
    ...(proxy === undefined ? {} : { proxyId: proxy as EntityId<'proxy'> }),
    ...(from === undefined ? {} : { from: Number(from) }),
    ...(until === undefined ? {} : { until: Number(until) }),
    ...(byEnd ? { ending: { from: now, before: Number(endsBefore) } } : {}),
    ...(cursor === null ? {} : byEnd ? { after: { notAfter: cursor.reservedAt, serial: cursor.serial } } : { before: cursor }),
  };
}

async function showServed(queries: Queries, page: readonly CertificateRecord[]): Promise<readonly object[]> {
  const serving = await readServing(queries, page);
  const names = serving.size === 0 ? new Map<string, string>() : await readNames(queries);
  const show = ({ proxyId, endpointId, seenAt }: Serving) => ({
    proxyId,
    proxy: names.get(proxyId) ?? null,
    endpointId,
    endpoint: names.get(endpointId) ?? null,
    seenAt,
  });
  const shown = await withFindings(queries, page);
  return page.map((record, at) => ({
    ...shown[at],
    served: (serving.get(Buffer.from(record.serial).toString('hex')) ?? []).map(show),
  }));
}

/** What is served is served by our own proxies; a page names a few of them, an inventory is read in milliseconds. */
async function readNames(queries: Queries): Promise<ReadonlyMap<string, string>> {
  const things = [...(await listDeclaredProxies(queries, '*')), ...(await listEndpoints(queries, '*'))];
  return new Map(things.map(({ id, name }) => [id, name]));
}
