import { FieldConfigProperty, identityOverrideProcessor, PanelPlugin, type PanelProps } from '@grafana/data';
import type { ComponentType } from 'react';

export interface PluginSpec<Options> {
  component: ComponentType<PanelProps<Options>>;
  options?: Partial<Options>;
  /** The custom field properties by their path, with their defaults: what is not here has no effect, in defaults and overrides alike. */
  custom?: Record<string, unknown>;
  /** The colour mode where the dashboard says none. */
  colour?: string;
}

/** A panel for the scenes, out of what the dashboard's JSON may say and what draws it. */
export function plugin<Options extends object>({ component, options = {}, custom = {}, colour }: PluginSpec<Options>): PanelPlugin {
  const made = new PanelPlugin<Options>(component);
  made.setDefaults(options as Options);
  made.setDataSupport({ annotations: true, alertStates: false });
  made.useFieldConfig({
    standardOptions: {
      [FieldConfigProperty.Color]: { defaultValue: { mode: colour ?? 'palette-classic' } },
      [FieldConfigProperty.Thresholds]: {
        defaultValue: { mode: 'absolute', steps: [{ value: -Infinity, color: 'green' }, { value: 80, color: 'red' }] },
      },
    },
    useCustomConfig(builder) {
      for (const [path, defaultValue] of Object.entries(custom)) {
        builder.addCustomEditor({
          id: path,
          path: path as never,
          name: path,
          defaultValue: defaultValue as never,
          editor: () => null,
          override: () => null,
          process: identityOverrideProcessor,
          shouldApply: () => true,
        });
      }
    },
  });
  return made;
}
