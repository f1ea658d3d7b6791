import type { Authorities } from '../../control/ca/authorities.ts';
import { type Explanation, explainRequest } from '../../control/ca/explain-request.ts';
import { type ReplayDifference, replayIssuances } from '../../control/ca/replay-issuances.ts';
import { explainExternalRequest } from '../../control/external/explain-request.ts';
import type { ExternalAuthorityRecord } from '../../control/external/external-authority.ts';
import { findOtherAuthorities } from '../../control/external/other-authorities.ts';
import { findExternalAuthority } from '../../control/external/store.ts';
import { parseDeclaration } from '../../control/inventory/parse-declaration.ts';
import { builtInProfiles, overlayProfiles, type ProfileBook } from '../../control/policies/declared-profiles.ts';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Asker } from '../../core/issuance/issuance-order.ts';
import type { ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Queries } from '../../platform/db/database.ts';
import type { Call, Handlers } from './handler.ts';
import { json } from './handler.ts';
import type { issuanceRoutes } from './issuance-routes.ts';
import { readCsr } from './read-csr.ts';
import { cursorOf, readCursor, showCertificate } from './show-certificate.ts';

export type IssuanceDeps = {
  readonly database: { readonly queries: Queries };
  readonly authorities: Authorities;
  /** The control plane's own, of documents that name no environment. */
  readonly environment: string;
};

export function issuanceHandlers(deps: IssuanceDeps): Pick<Handlers, keyof typeof issuanceRoutes> {
  const { authorities, database } = deps;
  const { queries } = database;
  const now = authorities.profiles ?? builtInProfiles;
  const bookOf = (text: string | undefined, demand: (environment: string) => void): ProfileBook =>
    text === undefined ? now : overlayProfiles(now, readProfiles(text, deps.environment, demand));
  return {
    'explain-issuance': async (call) => {
      const { body, environment, demand } = call;
      const { profile, door, dnsNames = [], ipAddresses = [], lifetimeMs } = body;
      const asked = {
        profile,
        asker: askerOf(call),
        csr: body.csr === undefined ? null : readCsr(body.csr),
        names: { dns: dnsNames, ip: ipAddresses },
        ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
      };
      const spiffeId = body.spiffeId === undefined ? null : parseSpiffeId(body.spiffeId);
      const trial = { queries, authorities: { ...authorities, profiles: bookOf(body.text, demand) } };
      if (door === 'external') {
        if (spiffeId !== null) throw new Problem('input-invalid', 'Cannot explain: a SPIFFE ID, which no other CA certifies');
        const authority = await findAuthority(queries, environment, body.authority);
        return json(showExplanation(await explainExternalRequest(trial, { ...asked, authority }, call.now)));
      }
      if (body.authority !== undefined)
        throw new Problem('input-invalid', 'Cannot explain: authority is named, expected the door external');
      const request = { ...asked, door, environment, spiffeId };
      return json(showExplanation(await explainRequest(trial, request, call.now)));
    },
    'replay-issuances': async ({ body, scope, demand }) => {
      const { profile, limit = 200, before } = body;
      const filter = {
        environments: scope,
        ...(profile === undefined ? {} : { profile }),
        ...(before === undefined ? {} : { before: readCursor(before) }),
        limit,
      };
      const { judged, differences, next } = await replayIssuances(
        { queries, authorities, now, trial: bookOf(body.text, demand), findOthers: findOtherAuthorities },
        filter,
      );
      return json({ judged, items: differences.map(showDifference), next: next === null ? null : cursorOf(next) });
    },
  };
}

/** @throws input-invalid, not-found */
async function findAuthority(queries: Queries, environment: string, name: string | undefined): Promise<ExternalAuthorityRecord> {
  if (name === undefined) throw new Problem('input-invalid', 'Cannot explain: the door external, expected authority to be named');
  const found = await findExternalAuthority(queries, environment, name);
  if (found === null) throw new Problem('not-found', 'Cannot explain: no external authority of this name is declared');
  return found;
}

/** @throws input-invalid unless every document declares a profile; forbidden */
function readProfiles(text: string, own: string, demand: (environment: string) => void): Parameters<typeof overlayProfiles>[1] {
  return parseDeclaration(text).map((declaration) => {
    if (declaration.kind !== 'Profile')
      throw new Problem('input-invalid', `Cannot try declaration: line ${declaration.line}, ${declaration.kind}, expected profiles only`);
    const { environment = null, name, spec } = declaration;
    demand(environment ?? own);
    return { environment: environment ?? own, name: name as ProfileName, spec };
  });
}

/** Whoever is not said to ask is who usually does by this door; what a door proves is taken as proved. */
function askerOf({ body, principal, environment }: Call<'explain-issuance'>): Asker {
  const { door, asker, spiffeId, dnsNames = [], ipAddresses = [] } = body;
  const isHuman = principal.role === 'admin' || principal.role === 'operator';
  const usual = {
    rest: isHuman ? principal.role : 'ci',
    join: 'data-plane',
    renewal: 'data-plane',
    acme: 'acme-account',
    est: isHuman ? principal.role : 'ci',
    scep: isHuman ? principal.role : 'ci',
    cmp: isHuman ? principal.role : 'ci',
    external: isHuman ? principal.role : 'ci',
  } as const;
  const role = asker?.role ?? usual[door];
  const name = asker?.name ?? (asker === undefined && door === 'rest' ? principal.name : undefined);
  return {
    role,
    scope: [environment],
    spiffeId: role === 'data-plane' && spiffeId !== undefined ? parseSpiffeId(spiffeId) : null,
    ...(door === 'acme' ? { provenNames: [...dnsNames, ...ipAddresses] } : {}),
    ...(name === undefined ? {} : { name }),
  };
}

function showExplanation({ profile, verdict, rules, lint, template, bounds }: Explanation): unknown {
  const shown = template && {
    notBefore: template.fields.notBefore,
    notAfter: template.fields.notAfter,
    keyUsage: template.fields.keyUsage ?? [],
    extendedKeyUsage: template.fields.extendedKeyUsage ?? [],
    subjectAltNames: template.fields.subjectAltNames ?? null,
  };
  const known = profile && { name: profile.name, digest: profile.digest ?? null, approvals: profile.approvals ?? null };
  const given = bounds && { longestMs: bounds.longestMs, extendedKeyUsage: bounds.purposes };
  return { profile: known, verdict, rules, lint, certificate: shown, bounds: given };
}

function showDifference({ record, verdict, reasons, changes }: ReplayDifference): unknown {
  return { ...showCertificate(record), verdict, reasons, changes };
}
