/** What a token may do, and which roles each covers. A route names the role that it demands; whoever covers it may call. */
const covered = {
  admin: ['admin', 'operator', 'auditor', 'partner-manager', 'ci', 'viewer'],
  operator: ['operator', 'ci', 'viewer'],
  auditor: ['auditor', 'viewer'],
  'partner-manager': ['partner-manager', 'viewer'],
  ci: ['ci'],
  viewer: ['viewer'],
} as const satisfies Record<string, readonly string[]>;

export type Role = keyof typeof covered;

export const roles = Object.keys(covered) as readonly Role[];

/** True if a holder of the first role may do what the second is demanded for. */
export function roleCovers(held: Role, demanded: Role): boolean {
  return (covered[held] as readonly Role[]).includes(demanded);
}

export function isRole(word: string): word is Role {
  return Object.hasOwn(covered, word);
}
