# Tests of what agent.ps1 decides without touching anything. For any PowerShell from 5.1 on, on any system.
#
# THEY HAVE NEVER RUN: no PowerShell was to be had where they were written. The first to have one should expect mistakes in them, too.
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
. ([System.IO.Path]::Combine($PSScriptRoot, 'agent.ps1')) -Load

$Golden = [System.IO.Path]::Combine([System.IO.Path]::Combine([System.IO.Path]::Combine($PSScriptRoot, '..'), 'golden'), 'windows')
$Count = @{ passed = 0; failed = 0 }

function Confirm-Same([string] $Title, $Wanted, $Found) {
    if ($Wanted -ceq $Found) { $Count['passed'] += 1; return }
    $Count['failed'] += 1
    [System.Console]::Error.WriteLine("FAILED: ${Title}: wanted <$Wanted>, found <$Found>")
}

# The reason with which something is refused; 'nothing' where it is not.
function Get-Reason([scriptblock] $Action) {
    try { [void] (& $Action); return 'nothing' } catch { return (ConvertTo-Refusal $_.Exception)['reason'] }
}

# A file of golden cases. It is an object around the list, since Read-Json takes objects alone.
function Read-Cases([string] $File) {
    $content = [System.IO.File]::ReadAllText([System.IO.Path]::Combine($Golden, $File))
    return (Read-Json ('{"cases":' + $content + '}'))['cases']
}

# The real parser, which tells what 5.1 or 7 makes of it.
$tokens = $null
$errors_ = $null
[void] [System.Management.Automation.Language.Parser]::ParseFile([System.IO.Path]::Combine($PSScriptRoot, 'agent.ps1'), [ref] $tokens, [ref] $errors_)
Confirm-Same 'agent.ps1 parses' 0 @($errors_).Count

foreach ($case in (Read-Cases 'requests.json')) {
    $bytes = (New-Object System.Text.UTF8Encoding($false)).GetBytes($case['request'])
    if ($case.ContainsKey('operation')) {
        $outcome = Get-Reason { Read-Request $bytes }
        Confirm-Same "request $($case['name'])" 'nothing' $outcome
        if ($outcome -ceq 'nothing') { Confirm-Same "operation of $($case['name'])" $case['operation'] (Read-Request $bytes)['operation'] }
    } else { Confirm-Same "request $($case['name'])" $case['reason'] (Get-Reason { Read-Request $bytes }) }
}
Confirm-Same 'a mark before it' 'malformed' (Get-Reason { Read-Request ([byte[]] (239, 187, 191, 123, 125)) })
Confirm-Same 'no UTF-8' 'malformed' (Get-Reason { Read-Request ([byte[]] (123, 34, 255, 34, 125)) })
Confirm-Same 'too long' 'malformed' (Get-Reason { Read-Request (New-Object byte[] 65537) })

# No text that is no name gets through as one, whatever stands in it and wherever; and no refusal repeats what was asked.
$nasty = @("'", '"', '`', '$(calc)', '${x}', ';', '|', '&', '(', ')', '*', '\', '/', '..', "`n", "`r", "`t", [string] [char] 0, ' ', '%x%', '^', '<', '>', '#', ',', '=', '@',
    [string] [char] 0x2019, [string] [char] 0x201C, [string] [char] 0x2013, [string] [char] 0x430, [string] [char] 0xFF0E, [string] [char] 0x131, [string] [char] 0x212A, [string] [char] 0x200B, [string] [char] 0x202E, [string] [char] 0x661, [string] [char] 0xA0)
foreach ($kind in @('label', 'domain', 'netbios', 'sid', 'direction', 'kind', 'address', 'moment')) {
    $sound = @{ label = 'ibestad'; domain = 'ibestad.test'; netbios = 'IBESTAD'; sid = 'S-1-5-21-1-2-3'; direction = 'both'; kind = 'forest'; address = '10.0.0.1'; moment = '2026-11-29T05:00:00Z' }[$kind]
    Confirm-Same "a sound $kind" $true (Test-Value $kind $sound)
    foreach ($bit in $nasty) {
        Confirm-Same "$kind with it at the end" $false (Test-Value $kind ($sound + $bit))
        Confirm-Same "$kind with it before" $false (Test-Value $kind ($bit + $sound))
        Confirm-Same "$kind with it within" $false (Test-Value $kind ($sound.Insert(3, $bit)))
    }
}
$asked = '{"protocol":1,"installation":"nord","ask":{"verify":{"domain":"Hush-This-Value"}}}'
try { [void] (Read-Request ([System.Text.Encoding]::ASCII.GetBytes($asked))); $said = '' } catch { $said = ConvertTo-Answer (ConvertTo-Refusal $_.Exception) }
Confirm-Same 'a refusal holds nothing of the request' $false ($said -eq '' -or $said.Contains('Hush'))
$said = ConvertTo-Answer (ConvertTo-Refusal (New-Object System.Exception('Hush-This-Value')))
Confirm-Same 'a mistake of our own' 'host' (ConvertTo-Refusal (New-Object System.Exception('x')) 7)['reason']
Confirm-Same 'an unknown exception is not told' $false ($said.Contains('Hush'))

foreach ($case in (Read-Cases 'trusts.json')) {
    Confirm-Same "trust $($case['name'])" (ConvertTo-Answer $case['trust']) (ConvertTo-Answer (ConvertTo-Trust $case['raw']))
}
foreach ($case in (Read-Cases 'answers.json')) {
    Confirm-Same "answer $($case['name'])" $case['answer'] (ConvertTo-Answer (Read-Json $case['json']))
}
foreach ($case in (Read-Cases 'decisions.json')) {
    $deciding = { Get-Decision $case['ask'] $case['own'] $case['trusts'] $case['orphans'] $case['accounts'] $case['record'] }
    $reason = Get-Reason $deciding
    if ($case.ContainsKey('reason')) { Confirm-Same "decision $($case['name'])" $case['reason'] $reason }
    elseif ($reason -cne 'nothing') { Confirm-Same "decision $($case['name'])" $case['decision'] $reason }
    else { Confirm-Same "decision $($case['name'])" $case['decision'] (Get-Decision $case['ask'] $case['own'] $case['trusts'] $case['orphans'] $case['accounts'] $case['record']) }
}
foreach ($case in (Read-Cases 'settings.json')) {
    $expected = 'nothing'
    if ($null -ne $case['reason']) { $expected = $case['reason'] }
    Confirm-Same "settings $($case['name'])" $expected (Get-Reason { Read-Settings $case['text'] $case['installation'] })
}
foreach ($case in (Read-Cases 'refusals.json')) {
    # As .NET throws it: wrapped by PowerShell, with a Win32 code.
    $thrown = New-Object System.Exception('outer', (New-Object System.Runtime.InteropServices.COMException('Hush', [int] ([long] $case['code'] - 2147024896))))
    Confirm-Same "code $($case['code'])" $case['reason'] (ConvertTo-Refusal $thrown)['reason']
}

$rights = @(@{ sid = 'S-1-5-18'; rights = 2032127; inheritOnly = $false }, @{ sid = 'S-1-5-32-545'; rights = 1179817; inheritOnly = $false })
Confirm-Same 'administrators write, users read' $true (Test-Protection 'S-1-5-32-544' $rights)
Confirm-Same 'a domain admin owns it' $true (Test-Protection 'S-1-5-21-1-2-3-512' $rights)
Confirm-Same 'a user owns it' $false (Test-Protection 'S-1-5-21-1-2-3-1104' $rights)
Confirm-Same 'users may append' $false (Test-Protection 'S-1-5-18' @(@{ sid = 'S-1-5-32-545'; rights = 4; inheritOnly = $false }))
Confirm-Same 'the agent owns it' $true (Test-Protection 'S-1-5-21-1-2-3-1104' $rights 'S-1-5-21-1-2-3-1104')
Confirm-Same 'another one owns it' $false (Test-Protection 'S-1-5-21-1-2-3-1105' $rights 'S-1-5-21-1-2-3-1104')
Confirm-Same 'only for what is made in it' $true (Test-Protection 'S-1-5-18' @(@{ sid = 'S-1-3-0'; rights = 268435456; inheritOnly = $true }))
Confirm-Same 'a channel' 'wrong-secret' (Get-Channel 1323)
Confirm-Same 'a channel of an unknown code' 'failed' (Get-Channel 4294967295)
Confirm-Same 'a ticket' 'ok' (Read-Ticket "#1>  Client: DC`$ @ HOST.TEST`n  Server: ldap/dc.ibestad.test @ IBESTAD.TEST" 'ldap/dc.ibestad.test')['ticket']
Confirm-Same 'no ticket' 'klist: 0xc000018b' (Read-Ticket "(GetTicket substatus): 0x000006fb`nklist failed with 0xc000018b/-1073741429: x" 'ldap/dc.ibestad.test')['message']
Confirm-Same 'no ticket for the clock' 'clock-skew' (Read-Ticket 'klist failed with 0xC0000133' 'ldap/dc.ibestad.test')['ticket']
foreach ($case in (Read-Cases 'questions.json')) {
    $bytes = Get-LdapQuestion $case['domain']
    if ($case['question'] -ceq 'kerberos') { $bytes = Get-KerberosQuestion $case['domain'] 4242424 }
    Confirm-Same "the question $($case['question']) of $($case['domain'])" $case['hex'] ([System.BitConverter]::ToString($bytes).Replace('-', '').ToLowerInvariant())
}
Confirm-Same 'a ticket for another' 'failed' (Read-Ticket 'Server: ldap/dcXibestad.test @ IBESTAD.TEST' 'ldap/dc.ibestad.test')['ticket']

"$($Count['passed']) passed, $($Count['failed']) failed"
if ($Count['failed'] -gt 0) { exit 1 }
