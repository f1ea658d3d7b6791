import { openClient } from './client.ts';
import { type Invocation, type Run, textOption, UsageError } from './command.ts';
import { writeSecret } from './write-secret.ts';

/** What differs between the commands that make one-time grants. */
export type GrantForm<Made> = {
  /** Of REST. */
  readonly path: string;
  /** What is shown once. */
  readonly secret: string;
  /** How long it lives unless something else is said. */
  readonly minutes: number;
  /** What else is asked for. @throws UsageError */
  readonly order: (invocation: Invocation) => { readonly [field: string]: unknown };
  /** What is written of what was made. */
  readonly show: (made: Made) => string;
};

/** A command that makes a grant of one door, or takes one back with `--revoke`. */
export function grantCommand<Made>({ path, secret, minutes, order, show }: GrantForm<Made>): Run {
  return async (invocation) => {
    const revoked = textOption(invocation, 'revoke');
    if (revoked !== undefined) {
      await openClient(invocation).delete(`${path}/${encodeURIComponent(revoked)}`);
      invocation.output.answer({ id: revoked, revoked: true }, () => [`${revoked} buys nothing any more`]);
      return 'ok';
    }
    const life = Number(textOption(invocation, 'ttl') ?? minutes);
    if (!(life > 0)) throw new UsageError('--ttl is not a number of minutes');
    const body = { ...givenFields(invocation, { environment: 'environment' }), ...order(invocation), ttlMs: Math.round(life * 60_000) };
    const client = openClient(invocation);
    await writeSecret(invocation, secret, async () => show(await client.post<Made>(path, body)));
    return 'ok';
  };
}

/** Fields by the options that were given, and no others. */
export function givenFields(invocation: Invocation, fields: { readonly [option: string]: string }): { readonly [field: string]: string } {
  const given = Object.entries(fields).map(([option, field]) => [field, textOption(invocation, option)] as const);
  return Object.fromEntries(given.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** The names that `--dns` and `--ip` list. */
export function listedNames(invocation: Invocation): { readonly dnsNames: readonly string[]; readonly ipAddresses: readonly string[] } {
  const listOf = (option: string): readonly string[] => (textOption(invocation, option) ?? '').split(',').filter((item) => item !== '');
  return { dnsNames: listOf('dns'), ipAddresses: listOf('ip') };
}
