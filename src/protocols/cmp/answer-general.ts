import type { IssuingAuthority } from '../../control/ca/authorities.ts';
import { parseCrlPath } from '../../control/ca/crl-path.ts';
import { findCrl } from '../../control/ca/crl-store.ts';
import { findProfile } from '../../control/ca/prepare-certificate.ts';
import { boundsOf } from '../../control/grants/door-grant.ts';
import { type CrlStatus, readCrlStatusList } from '../../core/cmp/crl-source.ts';
import { cmpOids } from '../../core/cmp/cmp-oids.ts';
import { newerRoot } from '../../core/cmp/newer-root.ts';
import { type InfoItem, infoNode } from '../../core/cmp/pki-header.ts';
import { readGeneralMessage } from '../../core/cmp/read-bodies.ts';
import { requestTemplateNode } from '../../core/cmp/request-template.ts';
import { parseIpAddress } from '../../core/identity/ip-address.ts';
import { type Certificate, parseCertificate } from '../../core/x509/certificate.ts';
import { type DerNode, raw, sequence } from '../../core/x509/der-writer.ts';
import { sameName } from '../../core/x509/name.ts';
import type { CmpAnswer } from './answer.ts';
import type { Call } from './answer-request.ts';
import type { CmpDeps } from './deps.ts';
import { CmpProblem } from './problems.ts';
import type { Sender } from './sender.ts';

type GeneralDeps = Pick<CmpDeps, 'database' | 'authorities'>;

/** Answers a genm (RFC 9483 section 4.3): what a device may want to know besides its own certificate. */
export async function answerGeneral(deps: GeneralDeps, { message, sender }: Call): Promise<CmpAnswer> {
  const items = readGeneralMessage(message.body);
  // OpenSSL asks for nothing at all where it is not told for what, and takes an answer of nothing.
  const [item, ...others] = items;
  if (others.length > 0) throw new CmpProblem('badRequest', `Cannot answer: ${items.length} questions in a message, expected one`);
  return { kind: 'genp', content: sequence(...(item === undefined ? [] : [await answerItem(deps, item, sender)])) };
}

/** @throws CmpProblem, der-malformed */
async function answerItem(deps: GeneralDeps, { type, value }: InfoItem, sender: Sender): Promise<DerNode> {
  const { issuing, roots } = deps.authorities;
  switch (type) {
    case cmpOids.caCerts:
      return infoNode(type, sequence(...issuing.map(({ certificate }) => raw(certificate.der))));
    case cmpOids.rootCaCert:
      return infoNode(cmpOids.rootCaKeyUpdate, ...updateOf(roots, value));
    case cmpOids.certReqTemplate:
      return infoNode(type, ...templateFor(deps, sender));
    case cmpOids.crlStatusList: {
      if (value === null) throw new CmpProblem('badRequest', 'Cannot answer: no list is named');
      const lists = await findLists(deps, readCrlStatusList(value));
      // RFC 9483 section 4.3.4: no value where there is nothing newer.
      return lists.length === 0 ? infoNode(cmpOids.crls) : infoNode(cmpOids.crls, sequence(...lists.map(raw)));
    }
    case cmpOids.currentCrl: {
      // One list is all of its CA's only where that has no shards; else the lists are asked for by their places.
      const only = issuing[0]?.crlShards === 1 ? await findShard(deps, issuing[0], 0) : null;
      return infoNode(type, ...(only === null ? [] : [raw(only.der)]));
    }
    default:
      throw new CmpProblem('badRequest', `Cannot answer: nothing is known about ${type}`);
  }
}

/** Ours sign no other, so a newer root comes alone (RFC 9483 section 4.3.2). @throws CmpProblem, der-malformed */
function updateOf(roots: readonly Certificate[], value: Uint8Array | null): readonly DerNode[] {
  if (value === null) throw new CmpProblem('badRequest', 'Cannot answer: no root is named');
  const newer = newerRoot(roots, parseCertificate(value).der);
  return newer === null ? [] : [sequence(raw(newer.der))];
}

function templateFor({ authorities }: GeneralDeps, sender: Sender): readonly DerNode[] {
  const { environment } = sender.kind === 'secret' ? sender.grant : sender.record;
  const { profile: named, spiffeId, names } = sender.kind === 'secret' ? boundsOf(sender.grant) : sender.record;
  const profile = findProfile(authorities, environment, named);
  if (profile === null) return [];
  const uri = spiffeId === null ? [] : [spiffeId];
  return [requestTemplateNode({ uri, dns: names.dns, ip: names.ip.map(parseIpAddress) }, profile.keys)];
}

/** Lists that are newer than those that the device has. */
async function findLists(deps: GeneralDeps, statuses: readonly CrlStatus[]): Promise<readonly Uint8Array[]> {
  const found: Uint8Array[] = [];
  let octets = 0;
  for (const { source, thisUpdate } of statuses) {
    for (const [authority, shard] of placesOf(deps.authorities.issuing, source)) {
      const list = await findShard(deps, authority, shard);
      if (list === null || (thisUpdate !== null && list.thisUpdate <= thisUpdate)) continue;
      octets += list.der.length;
      if (octets > MAXIMUM_LIST_OCTETS) throw new CmpProblem('systemUnavail', 'Cannot answer: the lists are larger than a message may be');
      found.push(list.der);
    }
  }
  return found;
}

function placesOf(issuing: readonly IssuingAuthority[], source: CrlStatus['source']): readonly (readonly [IssuingAuthority, number])[] {
  if (source.kind === 'issuer') {
    const { name } = source;
    const authority = name === null ? undefined : issuing.find(({ certificate }) => sameName(certificate.subject, name));
    return authority === undefined ? [] : Array.from({ length: authority.crlShards }, (_, shard) => [authority, shard] as const);
  }
  return source.uris.flatMap((uri) => {
    const named = URL.canParse(uri) ? parseCrlPath(new URL(uri).pathname) : null;
    const authority = named?.kind === 'full' ? issuing.find(({ id }) => id === named.authorityId) : undefined;
    if (authority === undefined || named === null) return [];
    const shard = named.shard ?? 0;
    return shard < authority.crlShards ? [[authority, shard] as const] : [];
  });
}

async function findShard({ database }: GeneralDeps, { id }: IssuingAuthority, shard: number) {
  return (await findCrl(database.queries, id, shard))?.built ?? null;
}

/** As much as a device may be expected to read; who wants more fetches lists where its certificate says. */
const MAXIMUM_LIST_OCTETS = 1_048_576;
