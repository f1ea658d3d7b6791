import { compileProfile, type ProfileSpec } from '../../core/issuance/profile-spec.ts';
import { builtInProfile, type Profile, type ProfileName } from '../../core/issuance/profile.ts';
import type { Queries } from '../../platform/db/database.ts';
import { listProfiles, type ProfileRecord } from './profile-store.ts';

/** Where the doors find a profile by its name: the declared one of the environment, else the product's. */
export type ProfileBook = {
  find(environment: string, name: ProfileName): Profile | null;
  /** The longest time after its end that any certificate may be renewed by its holder. */
  longestGraceMs(): number;
  /** The declared ones of an environment. */
  listDeclared(environment: string): readonly Profile[];
};

/** The product's own profiles alone. */
export const builtInProfiles: ProfileBook = {
  find: (_environment, name) => builtInProfile(name),
  listDeclared: () => [],
  longestGraceMs: () => 0,
};

/** The profiles of these declarations over those of another book. */
export function overlayProfiles(
  book: ProfileBook,
  declared: readonly { readonly environment: string; readonly name: ProfileName; readonly spec: ProfileSpec }[],
): ProfileBook {
  const made = declared.map(({ environment, name, spec }) => ({ environment, profile: compileProfile(name, spec) }));
  const byKey = new Map(made.map(({ environment, profile }) => [keyOf(environment, profile.name), profile]));
  return {
    find: (environment, name) => byKey.get(keyOf(environment, name)) ?? book.find(environment, name),
    longestGraceMs: () =>
      longestOf(
        made.map(({ profile }) => profile),
        book.longestGraceMs(),
      ),
    listDeclared: (environment) => [
      ...book.listDeclared(environment).filter(({ name }) => !byKey.has(keyOf(environment, name))),
      ...made.flatMap((one) => (one.environment === environment ? [one.profile] : [])),
    ],
  };
}

/** The declared profiles, compiled and held: a request costs no query. Read again when declarations change, and by timer for those of another process. */
export class DeclaredProfiles implements ProfileBook {
  #profiles: ReadonlyMap<string, Profile> = new Map();

  find(environment: string, name: ProfileName): Profile | null {
    return this.#profiles.get(keyOf(environment, name)) ?? builtInProfile(name);
  }

  longestGraceMs(): number {
    return longestOf(this.#profiles.values(), 0);
  }

  listDeclared(environment: string): readonly Profile[] {
    return [...this.#profiles].flatMap(([key, profile]) => (key === keyOf(environment, profile.name) ? [profile] : []));
  }

  async reload(queries: Queries): Promise<void> {
    const held = this.#profiles;
    const compiled = (await listProfiles(queries, '*')).map((record): readonly [string, Profile] => {
      const key = keyOf(record.environment, record.name);
      const before = held.get(key);
      return [key, before?.digest === record.digest ? before : compileRecord(record)];
    });
    this.#profiles = new Map(compiled);
  }
}

function compileRecord({
  id: _id,
  environment: _environment,
  region: _region,
  name,
  digest: _digest,
  updatedAt: _at,
  ...spec
}: ProfileRecord) {
  return compileProfile(name, spec);
}

function longestOf(profiles: Iterable<Profile>, least: number): number {
  return Math.max(least, ...[...profiles].map(({ renewalGraceMs = 0 }) => renewalGraceMs));
}

function keyOf(environment: string, name: ProfileName): string {
  return `${environment}/${name}`;
}
