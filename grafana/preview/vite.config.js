import { defineConfig } from 'vite';

/** Parts of @grafana/ui that it loads when asked for, which a dashboard never does: the code editor and maps. They are most of the build. */
const NEVER_SHOWN = /^(monaco-editor|react-monaco-editor|ol)(\/|$)/;

export default defineConfig({
  plugins: [
    {
      name: 'leave-out-what-is-never-shown',
      enforce: 'pre',
      resolveId: (id) => (NEVER_SHOWN.test(id) ? { id: '\0never-shown', syntheticNamedExports: true } : undefined),
      load: (id) => (id === '\0never-shown' ? 'export default {};' : undefined),
    },
  ],
  // Grafana's packages read process.env in the browser, which their own bundler replaces.
  define: {
    'process.env.NODE_ENV': JSON.stringify('production'),
    'process.env': '{}',
  },
  build: {
    target: 'es2022',
    // One page for one machine: neither its size nor how it is cut matters, the time to build it does.
    minify: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 100_000,
  },
});
