import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { OutboundSettings } from './proxy-settings.ts';

/** The keys that the server of each endpoint was last seen to have, so that pins which would lock us out are not put in force. */
export class SeenKeys {
  readonly #byEndpoint = new Map<string, ReadonlySet<string>>();

  saw(endpointId: string, spkiSha256: readonly string[]): void {
    this.#byEndpoint.set(endpointId, new Set(spkiSha256));
  }

  /**
   * Pins that are enforced have to match what was last seen, unless that is forced for a time, and one of them has to be a key that the
   * server does not show: the backup. @throws input-invalid
   */
  judge(now: Instant, { endpointId, endpointName, origination }: OutboundSettings): void {
    const seen = this.#byEndpoint.get(endpointId);
    if (seen === undefined || origination.kind !== 'tls' || origination.pins?.mode !== 'enforce') return;
    const { spkiSha256, forcedUntil } = origination.pins;
    const pins = [...spkiSha256];
    if (!pins.some((pin) => seen.has(pin)) && now >= forcedUntil)
      throw invalid(endpointName, 'pins of which none matches the server', 'one that does');
    if (pins.every((pin) => seen.has(pin))) throw invalid(endpointName, 'pins that the server shows all', 'a backup that it does not show');
  }
}

function invalid(endpointName: string, found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot use outbound ${JSON.stringify(endpointName)}: ${found}, expected ${expected}`);
}
