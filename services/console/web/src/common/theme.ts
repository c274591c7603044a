import { createTheme, type MantineColorsTuple } from "@mantine/core";

/** Violet that is none of the status colours. */
const accent: MantineColorsTuple = [
  "#eeeefc",
  "#dadaf8",
  "#b4b4f1",
  "#8f8fea",
  "#7373e2",
  "#6262d9",
  "#5555cf",
  "#4949b8",
  "#3d3d9c",
  "#30307d",
];

/** The red of failures: white can be read on what buttons are filled with, in both schemes. */
const red: MantineColorsTuple = [
  "#fcebe9",
  "#f9d3d0",
  "#f6a8a1",
  "#f4695f",
  "#e0493f",
  "#c8362d",
  "#cf3a31",
  "#b92e27",
  "#9d2620",
  "#7c1d18",
];

/** Mantine's greys of dark pages, without their warmth: text first, ground last. */
const dark: MantineColorsTuple = [
  "#e8eaed",
  "#c3c8d0",
  "#a0a7b3",
  "#828a97",
  "#353a44",
  "#23262d",
  "#1a1d22",
  "#131519",
  "#0d0e11",
  "#08090b",
];

/** Mantine's values, taken from tokens.css so that there is one scale. */
export const theme = createTheme({
  primaryColor: "accent",
  primaryShade: { light: 7, dark: 5 },
  colors: { accent, dark, red },
  fontFamily: "var(--font-text)",
  fontFamilyMonospace: "var(--font-mono)",
  headings: {
    fontWeight: "600",
    sizes: {
      h1: { fontSize: "var(--text-xl)", lineHeight: "1.3" },
      h2: { fontSize: "var(--text-lg)", lineHeight: "1.35" },
      h3: { fontSize: "var(--text-md)", lineHeight: "1.4" },
    },
  },
  fontSizes: {
    xs: "var(--text-xs)",
    sm: "var(--text-sm)",
    md: "var(--text-md)",
    lg: "var(--text-lg)",
    xl: "var(--text-xl)",
  },
  spacing: {
    xs: "var(--space-1)",
    sm: "var(--space-2)",
    md: "var(--space-3)",
    lg: "var(--space-4)",
    xl: "var(--space-6)",
  },
  radius: {
    xs: "2px",
    sm: "var(--radius-sm)",
    md: "var(--radius-md)",
    lg: "var(--radius-lg)",
    xl: "16px",
  },
  defaultRadius: "md",
  cursorType: "pointer",
  respectReducedMotion: true,
  components: {
    Button: { defaultProps: { size: "xs" } },
    ActionIcon: { defaultProps: { variant: "subtle", color: "gray" } },
    Tooltip: { defaultProps: { openDelay: 350, transitionProps: { duration: 100 }, withArrow: false } },
    Modal: {
      defaultProps: {
        centered: true,
        closeButtonProps: { "aria-label": "Close" },
        transitionProps: { duration: 150 },
        overlayProps: { backgroundOpacity: 0.5 },
      },
    },
    Drawer: { defaultProps: { transitionProps: { duration: 150 } } },
    // A menu has items alone: the placeholder that takes the first focus is none, so the menu itself takes it.
    Menu: { defaultProps: { transitionProps: { duration: 100 }, shadow: "md", withInitialFocusPlaceholder: false } },
    TextInput: { defaultProps: { size: "xs" } },
    Textarea: { defaultProps: { size: "xs" } },
    NumberInput: { defaultProps: { size: "xs" } },
    Select: { defaultProps: { size: "xs" } },
    Checkbox: { defaultProps: { size: "xs" } },
    Switch: { defaultProps: { size: "xs" } },
    SegmentedControl: { defaultProps: { size: "xs" } },
  },
});
