import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { InboundSettings, Onward, OutboundSettings, ParsedSettings } from './proxy-settings.ts';

/** SHA-256 of keys, lower case hex, by endpoint. */
export type KeysByEndpoint = ReadonlyMap<string, ReadonlySet<string>>;

export type SeenKeysOptions = {
  /** What was seen before this process began. */
  readonly known: KeysByEndpoint;
  /** Told of keys that are not those of the last time. */
  readonly onNews: (endpointId: string, keys: ReadonlySet<string>) => void;
};

/** The keys that the server of each endpoint was last seen to have, so that pins which would lock us out are not put in force. */
export class SeenKeys {
  readonly #byEndpoint: Map<string, ReadonlySet<string>>;
  readonly #onNews: SeenKeysOptions['onNews'];

  constructor({ known, onNews }: SeenKeysOptions) {
    this.#byEndpoint = new Map(known);
    this.#onNews = onNews;
  }

  saw(endpointId: string, spkiSha256: readonly string[]): void {
    const keys = new Set(spkiSha256);
    const last = this.#byEndpoint.get(endpointId);
    // The same at each connection but one in a year.
    if (last !== undefined && last.size === keys.size && keys.isSubsetOf(last)) return;
    this.#byEndpoint.set(endpointId, keys);
    this.#onNews(endpointId, keys);
  }

  /** Holds pins against what was seen. Who speaks as before is not asked: a server that changed its keys since must not stand in the way of other changes. @throws input-invalid */
  judgeNews(now: Instant, settings: ParsedSettings, inForce: ParsedSettings | null): void {
    const held = new Map(inForce === null ? [] : outboundOf(inForce).map(({ endpointId, digest }) => [endpointId, digest]));
    for (const outbound of outboundOf(settings)) if (held.get(outbound.endpointId) !== outbound.digest) this.judge(now, outbound);
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

/** Those where TLS begins anew behind a port are called like others. */
function outboundOf({ inbound, outbound }: ParsedSettings<InboundSettings & { readonly onward?: Onward }>): readonly OutboundSettings[] {
  const next = inbound.flatMap(({ onward }) => (onward?.kind === 'reencrypt' ? [onward.outbound] : []));
  return [...outbound, ...next];
}

function invalid(endpointName: string, found: string, expected: string): Problem {
  return new Problem('input-invalid', `Cannot use outbound ${JSON.stringify(endpointName)}: ${found}, expected ${expected}`);
}
