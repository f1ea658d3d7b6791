import { findProfile } from '../../control/ca/prepare-certificate.ts';
import type { Profile, ProfileName } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { EstDeps } from './deps.ts';

/** The operations of RFC 7030 section 3.2.2, each with its method. `fullcmc` is known and not offered. */
export const operations = {
  cacerts: 'GET',
  simpleenroll: 'POST',
  simplereenroll: 'POST',
  fullcmc: 'POST',
  serverkeygen: 'POST',
  csrattrs: 'GET',
} as const;
export type Operation = keyof typeof operations;

/** What a path names: the operation, and the profile that its label means. */
export type EstTarget = {
  readonly operation: Operation;
  /** The empty text: none. */
  readonly label: string;
  readonly environment: string;
  readonly profile: Profile;
};

/**
 * `/.well-known/est/[LABEL/]OPERATION`. A label is the name of a profile of this control plane's environment that opens the door `est`, or ENVIRONMENT.PROFILE:
 * what may be enrolled is declared once. @throws not-found
 */
export function parseTarget({ authorities, place, profile }: Pick<EstDeps, 'authorities' | 'place' | 'profile'>, path: string): EstTarget {
  const match = PATH.exec(path);
  const operation = match?.[3] as Operation;
  const name = (match?.[2] ?? profile) as ProfileName;
  const environment = match?.[1] ?? place.environment;
  const found = match === null ? null : findProfile(authorities, environment, name);
  if (found?.askers.est === undefined)
    throw new Problem('not-found', 'Cannot find resource: no profile that opens the door est has this label');
  const label = match?.[2] === undefined ? '' : match[1] === undefined ? name : `${environment}.${name}`;
  return { operation, label, environment, profile: found };
}

const PART = '[a-z0-9][a-z0-9-]{0,62}';
const PATH = new RegExp(`^/\\.well-known/est/(?:(?:(${PART})\\.)?(${PART})/)?(${Object.keys(operations).join('|')})$`);
