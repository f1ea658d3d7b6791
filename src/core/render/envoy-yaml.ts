import type { RenderedAddress } from './rendered-value.ts';

type Lines = readonly string[];

/** One of a list of filters. */
export function filter(name: string, type: string, more: Lines): Lines {
  return [`- name: ${name}`, ...indent(['typed_config:', ...indent([typeOf(type), ...more])])];
}

/** The address that a listener is at. */
export function addressLines({ host, port }: RenderedAddress): Lines {
  return [`address: { socket_address: { address: ${JSON.stringify(host)}, port_value: ${port} } }`];
}

/** Without anything but its type. */
export function typed(name: string): string {
  return `typed_config: { ${typeOf(name)} }`;
}

/** An extension by the name of its message. */
export function typeOf(name: string): string {
  return `"@type": type.googleapis.com/envoy.extensions.${name}`;
}

/** One level deeper. */
export function indent(lines: Lines): Lines {
  return lines.map((line) => `  ${line}`);
}

/** Whatever stood under this name is replaced. */
export function overwrite(field: string, value: string): Lines {
  return [`- header: { key: ${field}, value: ${JSON.stringify(value)} }`, '  append_action: OVERWRITE_IF_EXISTS_OR_ADD'];
}
