import { Problem } from '../../core/problems/problem.ts';

/** Why a machine's token was refused. For the log alone: a stranger who learned it could feel his way forward. */
export const machineTokenRefusals = {
  malformed: 'it is no signed JWT, or is too large',
  algorithm: 'it is not signed with an asymmetric algorithm, or not with that of the key',
  'unknown-issuer': 'no identity provider is declared for its issuer',
  'wrong-audience': 'it is for another audience',
  'unknown-key': 'the issuer publishes no key of its key id',
  'keys-unavailable': "the issuer's keys could not be had, and none that are fresh enough are held",
  signature: 'its signature does not verify',
  expired: 'it has expired',
  'not-yet-valid': 'it is not valid yet, or issued in the future',
  lifetime: 'it is good for longer than the provider may give',
  claims: 'a claim that every token needs is missing or malformed',
  'no-rule': 'no rule fits its claims',
  replayed: 'it was used before, and its rule says once',
} as const;
export type MachineTokenRefusal = keyof typeof machineTokenRefusals;

/** A machine's token that buys nothing here; the outside hears one text for every reason. */
export class MachineTokenRefused extends Problem {
  readonly reason: MachineTokenRefusal;
  readonly detail: string;

  constructor(reason: MachineTokenRefusal, detail = '') {
    super('token-refused', 'Cannot use token: it is not accepted here');
    this.name = 'MachineTokenRefused';
    this.reason = reason;
    this.detail = detail.slice(0, 500);
  }
}
